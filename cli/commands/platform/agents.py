"""`agents`: the agents of a tenant."""

from typing import Final

import click

from cli.core.client import Api
from cli.core.completion import complete_agents
from cli.core.context import find_target
from cli.core.options import limit_option, listing_options, watch_option
from cli.core.output import Column, show_list, show_record

_COLUMNS: Final = (
    Column("AGENT", "agent_id", whole=True),
    Column("VERSION", "version", whole=True, rank=1),
    Column("NAME", "name"),
    Column("DESCRIPTION", "description", rank=2),
)


@click.group()
@listing_options
def agents() -> None:
    """List and show agents.

    \b
    Example:
      nooble-orch agents list --tenant acme
    """


@agents.command("list")
@limit_option()
@watch_option
@listing_options
def list_agents(limit: int) -> None:
    """List the agents of a tenant.

    \b
    Example:
      nooble-orch agents list -o jsonl | jq .agent_id
    """
    with Api(find_target(), operator=True) as api:
        show_list(api.listed("agent.list", limit), _COLUMNS, "No agents found.")


@agents.command()
@click.argument("agent_id", metavar="AGENT", shell_complete=complete_agents)
@listing_options
def show(agent_id: str) -> None:
    """Show an agent, with its tools.

    \b
    Example:
      nooble-orch agents show docs-guide
    """
    with Api(find_target(), operator=True) as api:
        show_record(api.get(f"agent.get/{agent_id}"))
