"""The screen of `top`: totals, services, processes and tenants."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.core.console import plain_table
from cli.core.output import age
from cli.display.glyphs import printable
from cli.display.waterfall import duration

_NODES_SHOWN = 5


def dashboard(load: Mapping[str, Any], *, rows: int) -> RenderableType:
    """Return the screen.

    Args:
        load: `orchestrator.load`, as the API returns it.
        rows: the height of the screen, in lines.
    """
    nodes = load["nodes"]
    shown = nodes[:_NODES_SHOWN]
    breakers = _breakers(load)
    # Totals, two headings, blank lines and the footer take nine.
    tenants = load["tenants"][: max(1, rows - len(shown) - len(breakers) - 9)]
    return Group(
        *_totals(load),
        *breakers,
        Text(),
        _processes(shown, len(nodes)),
        Text(),
        _tenants(tenants),
        _foot(load, len(tenants)),
    )


def _totals(load: Mapping[str, Any]) -> list[Text]:
    waits, oldest = load["waits"], age(load["oldest_waiting"]) or "-"
    p50, p99 = duration(round(waits["p50_ms"])), duration(round(waits["p99_ms"]))
    claims, ends = f"{load['claims_per_second']:.1f}", f"{load['ends_per_second']:.1f}"
    slots, ready = f"{load['in_hand']}/{load['slots']}", load["tenants_ready"]
    return [
        _figures(
            ("nooble-orch top", load["at"][11:19]), ("nodes", _live(load)), ("slots", slots), ("ready tenants", ready)
        ),
        _figures(
            ("backlog", load.get("backlog", load["queued"])),
            ("queued", load["queued"]),
            ("delayed", load["delayed"]),
            ("dead", load["dead_letters"]),
            ("oldest", oldest),
        ),
        _figures(("claims/s", claims), ("ends/s", ends), ("wait p50", p50), ("p99", p99)),
    ]


def _figures(*figures: tuple[str, object]) -> Text:
    return Text("  ").join(Text.assemble((f"{name} ", "bold"), printable(str(value))) for name, value in figures)


def _live(load: Mapping[str, Any]) -> int:
    return sum(node["live"] for node in load["nodes"])


def _breakers(load: Mapping[str, Any]) -> list[Text]:
    """Return a line on the breakers of downstream services; none where the service is too old to report them."""
    if "breakers" not in load:
        return []
    states: dict[str, set[str]] = {}
    for node in load["nodes"]:
        for service, state in ((node["load"] or {}).get("breakers") or {}).items():
            states.setdefault(service, set()).add(state)
    open_breakers = [
        f"{service} {'/'.join(sorted(states.get(service, {'open'})))} on {count} of {_live(load)}"
        for service, count in sorted(load["breakers"].items())
    ]
    callees = load.get("callee_breakers") or []
    if callees:
        first = callees[0]
        named = " ".join((first["service"], first["tenant_id"], first["callee"])).rstrip()
        open_breakers.append(named + (f" and {len(callees) - 1} more callees" if len(callees) > 1 else ""))
    words = printable(" · ".join(open_breakers)) if open_breakers else "all closed"
    return [Text.assemble(("breakers ", "bold"), (words, "red" if open_breakers else ""))]


def _processes(nodes: Sequence[Mapping[str, Any]], total: int) -> Table:
    more = f" (+{total - len(nodes)})" if total > len(nodes) else ""
    table = _table(f"PROCESS{more}", "HOST", "PID", "IN HAND", "LIMIT", "CLAIMS/s", "ENDS/s", "BEAT")
    for node in nodes:
        load = node["load"]
        beat = f"{node['heartbeat_age_ms'] / 1000:.1f}s" if node["live"] else "gone"
        figures = (
            (load["host"][:16], str(load["pid"]), f"{load['in_hand']}/{load['slots']}",
             str(load.get("limit", "")), f"{load['claims_per_second']:.1f}", f"{load['ends_per_second']:.1f}")
            if load else ("", "", "", "", "", "")
        )  # fmt: skip
        table.add_row(*(Text(printable(cell)) for cell in (node["node"][:16], *figures, beat)))
    return table


def _tenants(tenants: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("TENANT", "STATE", "BACKLOG", "HIGH", "NORMAL", "LOW", "IN HAND", "DELAYED", "DEAD", "OLDEST")
    for one in tenants:
        depth = one["depth"]
        in_lanes = (depth["high"], depth["normal"], depth["low"])
        figures = (one.get("backlog", ""), *in_lanes, one["in_hand"], one["delayed"], one["dead_letters"])
        state = "damaged" if one.get("damage") else one["state"]
        cells = (one["tenant_id"][:20], state, *map(str, figures), age(one["oldest_waiting"]))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def _foot(load: Mapping[str, Any], shown: int) -> Text:
    return Text(f"{shown} of {load['tenants_seen']} tenants · q quits", style="dim")


def _table(*titles: str) -> Table:
    table = plain_table(pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, no_wrap=True, justify="left" if number < 2 else "right")
    return table
