"""Completion by Tab of tenants, profiles, agents, tools, workflows, sessions, schedules, tasks and batches.

The shell runs it while the line is typed. A service that fails or does not answer at once is left out without a
message: one would only garble the line.
"""

from collections.abc import Callable
from typing import Any, Final

import click

from cli.core.context import chosen_data_dir, find_target, read_profiles
from cli.core.devfile import find_stack
from cli.core.failures import CliFailure

_TIMEOUT: Final = 1.0
_LIMIT: Final = 50

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def complete_tenants(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Offer the tenants of the profiles and of a running `dev` stack; with an API key, those of the service too."""
    with context.scope(cleanup=False):
        stack = find_stack(chosen_data_dir())
    tenants = {item["tenant_id"] for item in _items(context, "tenant.list", by_key=True)}
    tenants |= set(stack.tenants) if stack else set()
    tenants |= {profile["tenant"] for profile in _profiles().values() if "tenant" in profile}
    return _matching(tenants, incomplete)


def complete_profiles(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Offer the profiles."""
    return _matching(set(_profiles()), incomplete)


def _complete_ids(route: str, field: str) -> Completer:
    """Offer a field of the newest items of a list of the API."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        return _matching({item[field] for item in _items(context, route)}, incomplete)

    return complete


complete_agents: Final = _complete_ids("agent.list", "agent_id")
complete_sessions: Final = _complete_ids("session.list", "session_id")
complete_schedules: Final = _complete_ids("schedule.list", "schedule_id")
complete_tasks: Final = _complete_ids("task.list", "task_id")
complete_batches: Final = _complete_ids("batch.list", "batch_id")
complete_tools: Final = _complete_ids("tool.list", "tool_id")
complete_workflows: Final = _complete_ids("workflow.list", "workflow_id")


def _items(context: click.Context, route: str, *, by_key: bool = False) -> list[dict[str, Any]]:
    from cli.core.client import AdminApi, Api  # noqa: PLC0415 - most lines are typed without Tab, and then need no client here

    try:
        with context.scope(cleanup=False):
            target = find_target()
            if not target.api_url:
                return []
            with AdminApi(target, timeout=_TIMEOUT) if by_key else Api(target, operator=True, timeout=_TIMEOUT) as api:
                items: list[dict[str, Any]] = api.get(route, limit=_LIMIT)["items"]
                return items
    except CliFailure:
        return []


def _profiles() -> dict[str, dict[str, str]]:
    try:
        return read_profiles()
    except CliFailure:
        return {}


def _matching(names: set[str], incomplete: str) -> list[str]:
    return [name for name in sorted(names) if name.startswith(incomplete)]
