"""`tools`: the tools of a tenant, and running one."""

from typing import Any, Final

import click

from cli.core.client import Api
from cli.core.context import find_target
from cli.core.failures import CliFailure, Exit
from cli.core.options import limit_option, listing_options
from cli.core.output import Column, show_list, show_record
from cli.core.values import assignment

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
@limit_option()
@listing_options
def list_tools(limit: int) -> None:
    """List the tools of a tenant.

    \b
    Example:
      nooble-orch tools list --tenant acme
    """
    with Api(find_target(), operator=True) as api:
        show_list(api.listed("tool.list", limit), _COLUMNS, "No tools found.")


@tools.command()
@click.argument("tool_id", metavar="TOOL")
@click.argument("parameters", metavar="[NAME=VALUE]...", nargs=-1, type=assignment)
@click.option("--session", metavar="SESSION", help="Run it for this session, whose agent must have it.")
@listing_options
def run(tool_id: str, parameters: tuple[tuple[str, Any], ...], session: str | None) -> None:
    """Run a tool; a VALUE is JSON, or else text. Exit code 1: the tool has failed.

    \b
    Example:
      nooble-orch tools run calculator 'expression=(3 + 4) * 2'
    """
    body: dict[str, Any] = {"tool_id": tool_id, "parameters": dict(parameters)}
    if session:
        body["session_id"] = session
    with Api(find_target(), operator=True) as api:
        answer = api.post("tool.execute", body)
    show_record(answer)
    if answer.get("status") in _ENDED_BADLY:
        raise CliFailure(f"The tool {tool_id} has failed.", "", Exit.FAILED)
