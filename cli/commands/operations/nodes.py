"""`nodes`: the processes of the service."""

from typing import Any

import click

from cli.core.client import AdminApi
from cli.core.context import find_target
from cli.core.options import listing_options, watch_option
from cli.core.output import Column, is_table, show_list

_COLUMNS = (
    Column("NODE", "node", whole=True),
    Column("HOST", "host"),
    Column("PID", "pid", whole=True),
    Column("VERSION", "version", whole=True),
    Column("UP", "started_at", age=True),
    Column("BEAT", "beat", whole=True),
    Column("IN HAND", "running", whole=True),
    Column("LIMIT", "limit", whole=True),
    Column("BUSY", "busy", whole=True),
    Column("ENDS/s", "rate", whole=True),
    Column("BREAKERS", "breakers"),
)


@click.command()
@watch_option
@listing_options
def nodes() -> None:
    """List the processes of the service, with their load. Needs an API key (ORCH_API_KEY).

    \b
    Example:
      nooble-orch nodes -o json
    """
    with AdminApi(find_target()) as api:
        form = _row if is_table() else _record
        show_list(map(form, api.get("orchestrator.nodes")["items"]), _COLUMNS, "No process is alive.")


def _record(node: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a process, with the fields of its load."""
    return {name: value for name, value in node.items() if name != "load"} | (node["load"] or {})


def _callee(breaker: dict[str, Any]) -> str:
    """Return a callee as it stands among the services: `tool_registry:acme:tool:calculator`."""
    return ":".join(part for part in (breaker["service"], breaker["tenant_id"], breaker["callee"]) if part)


def _row(node: dict[str, Any]) -> dict[str, Any]:
    load, row = node["load"] or {}, _record(node)
    row["beat"] = f"{node['heartbeat_age_ms'] / 1000:.1f}s" if node["live"] else "gone"
    row["running"] = f"{load['in_hand']}/{load['slots']}" if load else ""
    row["busy"] = f"{load['loop_busy']:.0%}" if "loop_busy" in load else ""
    row["rate"] = f"{load['ends_per_second']:.1f}" if load else ""
    row["breakers"] = ", ".join(
        [*sorted(load.get("breakers", ())), *(_callee(one) for one in load.get("callee_breakers", ()))]
    )
    return row
