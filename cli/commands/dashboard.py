"""What `top` shows: one screen of totals, processes and tenants."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.core.output import age, plain_table, printable
from cli.core.waterfall import duration

_NODES_SHOWN = 5


def dashboard(load: Mapping[str, Any], *, rows: int) -> RenderableType:
    """Draw the load.

    Args:
        load: as the API has it.
        rows: lines of the screen.
    """
    nodes = load["nodes"]
    shown = nodes[:_NODES_SHOWN]
    services = _services(load)
    # Totals, two headings, blank lines and the last line are nine.
    tenants = load["tenants"][: max(1, rows - len(shown) - len(services) - 9)]
    return Group(
        *_totals(load),
        *services,
        Text(),
        _processes(shown, len(nodes)),
        Text(),
        _tenants(tenants),
        _foot(load, len(tenants)),
    )


def _totals(load: Mapping[str, Any]) -> list[Text]:
    live = sum(node["live"] for node in load["nodes"])
    oldest = age(load["oldest_waiting"]) if load["oldest_waiting"] else "-"
    waits = load["waits"]
    return [
        Text.assemble(
            ("nooble-orch top  ", "bold"),
            f"{load['at'][11:19]}  {live} process{'' if live == 1 else 'es'}  ",
            f"slots {load['in_hand']}/{load['slots']}  ready tenants {load['tenants_ready']}",
        ),
        Text.assemble(
            ("queued ", "bold"),
            f"{load['queued']}  ",
            ("delayed ", "bold"),
            f"{load['delayed']}  ",
            ("dead ", "bold"),
            f"{load['dead_letters']}  ",
            ("oldest ", "bold"),
            oldest,
        ),
        Text.assemble(
            ("claims/s ", "bold"),
            f"{load['claims_per_second']:.1f}  ",
            ("ends/s ", "bold"),
            f"{load['ends_per_second']:.1f}  ",
            ("wait p50 ", "bold"),
            duration(round(waits["p50_ms"])),
            ("  p99 ", "bold"),
            duration(round(waits["p99_ms"])),
        ),
    ]


def _services(load: Mapping[str, Any]) -> list[Text]:
    """Say which services downstream are left alone, and what happened last; nothing of a service that can't say."""
    if "breakers" not in load:
        return []
    states: dict[str, set[str]] = {}
    for node in load["nodes"]:
        for service, state in ((node["load"] or {}).get("breakers") or {}).items():
            states.setdefault(service, set()).add(state)
    live = sum(node["live"] for node in load["nodes"])
    troubled = [
        f"{service} {'/'.join(sorted(states.get(service, {'open'})))} on {count} of {live}"
        for service, count in sorted(load["breakers"].items())
    ]
    words = printable(" · ".join(troubled)) if troubled else "all are called"
    return [Text.assemble(("services ", "bold"), (words, "red" if troubled else ""))]


def _processes(nodes: Sequence[Mapping[str, Any]], total: int) -> Table:
    more = f" (+{total - len(nodes)})" if total > len(nodes) else ""
    table = _table(f"PROCESS{more}", "HOST", "PID", "IN HAND", "CLAIMS/s", "ENDS/s", "BEAT")
    for node in nodes:
        load = node["load"]
        beat = f"{node['heartbeat_age_ms'] / 1000:.1f}s" if node["live"] else "gone"
        figures = (
            (load["host"][:16], str(load["pid"]), f"{load['in_hand']}/{load['slots']}",
             f"{load['claims_per_second']:.1f}", f"{load['ends_per_second']:.1f}")
            if load else ("", "", "", "", "")
        )  # fmt: skip
        table.add_row(*(Text(printable(cell)) for cell in (node["node"][:16], *figures, beat)))
    return table


def _tenants(tenants: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("TENANT", "STATE", "HIGH", "NORMAL", "LOW", "IN HAND", "DELAYED", "DEAD", "OLDEST")
    for one in tenants:
        depth = one["depth"]
        figures = (depth["high"], depth["normal"], depth["low"], one["in_hand"], one["delayed"], one["dead_letters"])
        cells = (one["tenant_id"][:20], one["state"], *map(str, figures), age(one["oldest_waiting"]))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _foot(load: Mapping[str, Any], shown: int) -> Text:
    return Text(f"{shown} of {load['tenants_seen']} tenants · q leaves", style="dim")


def _table(*titles: str) -> Table:
    table = plain_table(pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, no_wrap=True, justify="left" if number < 2 else "right")
    return table
