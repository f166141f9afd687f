"""`tools`: the tools of a tenant, and running one."""

from typing import Any, Final

import click

from cli.core.client import Api
from cli.core.completion import complete_agents, complete_tools
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import Duration, limit_option, listing_options, watch_option
from cli.core.output import Column, note, show_list, show_record
from cli.core.values import assignment
from cli.waiting.polling import poll

_COLUMNS: Final = (
    Column("TOOL", "tool_id", whole=True),
    Column("NAME", "name", rank=1),
    Column("DESCRIPTION", "description"),
)
_ENDED_BADLY: Final = frozenset({"failed", "cancelled"})


@click.group()
@listing_options
def tools() -> None:
    """List tools and run one.

    \b
    Example:
      nooble-orch tools run calculator expression=1+1
    """


@tools.command("list")
@click.option("--agent", metavar="AGENT", help="Only tools that this agent may use.", shell_complete=complete_agents)
@limit_option()
@watch_option
@listing_options
def list_tools(agent: str | None, limit: int) -> None:
    """List the tools of a tenant.

    \b
    Example:
      nooble-orch tools list --tenant acme
    """
    with Api(find_target(), operator=True) as api:
        show_list(api.listed("tool.list", limit, agent_id=agent), _COLUMNS, "No tools found.")


@tools.command()
@click.argument("tool_id", metavar="TOOL", shell_complete=complete_tools)
@click.argument("parameters", metavar="[NAME=VALUE]...", nargs=-1, type=assignment)
@click.option("--session", metavar="SESSION", help="Run it for this session, whose agent must have it.")
@click.option("--wait", is_flag=True, help="Wait for the result of a tool that answers later.")
@click.option(
    "--timeout",
    type=Duration(),
    default=120.0,
    show_default=True,
    metavar="TIME",
    help="How long the result is waited for.",
)
@listing_options
def run(
    tool_id: str, parameters: tuple[tuple[str, Any], ...], session: str | None, timeout: float, *, wait: bool
) -> None:
    """Run a tool; a VALUE is JSON, or else text. Exit code 1: the tool has failed.

    The run of a tool that answers later is a task. Exit code with --wait: 5 if it has not ended in time.

    \b
    Example:
      nooble-orch tools run calculator 'expression=(3 + 4) * 2'
    """
    body: dict[str, Any] = {"tool_id": tool_id, "parameters": dict(parameters)}
    if session:
        body["session_id"] = session
    with Api(find_target(), operator=True, timeout=timeout) as api:
        answer = api.post("tool.execute", body)
        task_id = answer.get("task_id")
        if task_id and wait:
            answer = _ended_run(api, task_id, timeout)
    show_record(answer)
    if answer.get("status") in _ENDED_BADLY:
        raise CliFailure(f"The tool {tool_id} has failed.", "", Exit.FAILED)
    if task_id and not wait:
        note(f"The tool answers later; 'nooble-orch tasks show {task_id}' shows its result.")
    elif task_id and not _has_ended(answer):
        raise CliFailure(f"The tool has not answered after {timeout:g} s; it goes on.", "", Exit.INCOMPLETE)


def _ended_run(api: Api, task_id: str, timeout: float) -> dict[str, Any]:
    route = f"task.get/{task_id}"
    try:
        task = poll(api, route, _has_ended, timeout=timeout, what="The tool", task_of=lambda _: task_id)
    except KeyboardInterrupt:
        note(f"The tool goes on; 'nooble-orch tasks cancel {task_id}' stops it.")
        raise
    return dict(task)


def _has_ended(task: dict[str, Any]) -> bool:
    return task["status"] == "completed" or task["status"] in _ENDED_BADLY
