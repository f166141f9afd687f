"""What the Tab key offers beside commands and options: tenants, profiles, agents, sessions, tasks.

Completion runs in the middle of somebody's typing: where the service does not answer at once, it offers nothing. A
message would only garble the line, so failures are not told here.
"""

from typing import TYPE_CHECKING, Any

import click

from cli.core.failures import CliFailure

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_tenants(context: click.Context, _: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Offer the tenants of the profiles and of a running `dev` stack; and with an API key, those of the service."""
    # cli.core.context imports the options, which import this module.
    from cli.core.context import read_profiles  # noqa: PLC0415
    from cli.core.devfile import find_stack  # noqa: PLC0415

    stack = find_stack()
    tenants = {item["tenant_id"] for item in _items(context, "tenant.list", by_key=True)}
    tenants |= set(stack.tenants) if stack else set()
    try:
        tenants |= {profile["tenant"] for profile in read_profiles().values() if "tenant" in profile}
    except CliFailure:
        return _matching(tenants, incomplete)
    return _matching(tenants, incomplete)


def complete_profiles(_: click.Context, __: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Offer the profiles."""
    from cli.core.context import read_profiles  # noqa: PLC0415  # as above

    try:
        return _matching(set(read_profiles()), incomplete)
    except CliFailure:
        return []


def complete_agents(context: click.Context, _: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Offer the tenant's agents."""
    return _matching({item["agent_id"] for item in _items(context, "agent.list")}, incomplete)


def complete_sessions(context: click.Context, _: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Offer the newest sessions."""
    return _matching({item["session_id"] for item in _items(context, "session.list")}, incomplete)


def complete_schedules(context: click.Context, _: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Offer the newest schedules."""
    return _matching({item["schedule_id"] for item in _items(context, "schedule.list")}, incomplete)


def complete_tasks(context: click.Context, _: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Offer the newest tasks."""
    return _matching({item["task_id"] for item in _items(context, "task.list")}, incomplete)


def complete_batches(context: click.Context, _: click.Parameter, incomplete: str) -> "list[str | CompletionItem]":
    """Offer the newest batches."""
    return _matching({item["batch_id"] for item in _items(context, "batch.list")}, incomplete)


def _items(context: click.Context, route: str, *, by_key: bool = False) -> list[dict[str, Any]]:
    from cli.core.client import AdminApi, Api  # noqa: PLC0415  # httpx is needed only where a service is asked
    from cli.core.context import find_target  # noqa: PLC0415  # as above

    try:
        with context.scope(cleanup=False):
            target = find_target()
        if not target.api_url:
            return []
        with AdminApi(target, timeout=1.0) if by_key else Api(target, operator=True, timeout=1.0) as api:
            items: list[dict[str, Any]] = api.get(route, limit=50)["items"]
            return items
    except CliFailure:
        return []


def _matching(names: set[str], incomplete: str) -> "list[str | CompletionItem]":
    return [name for name in sorted(names) if name.startswith(incomplete)]
