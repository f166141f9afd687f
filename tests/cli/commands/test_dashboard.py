"""What `top` draws."""

import io
from typing import Any

from rich.console import Console

from cli.commands.operations.dashboard import dashboard

MOMENT = "2026-01-01T00:00:00.000Z"


def node(name: str, **breakers: str) -> dict[str, Any]:
    load = {"host": "host", "pid": 7, "slots": 100, "in_hand": 3, "claims_per_second": 1.0, "ends_per_second": 1.0}
    return {"node": name, "heartbeat_age_ms": 100, "live": True, "load": {**load, "breakers": breakers}}


def tenant(number: int) -> dict[str, Any]:
    depth = {"high": 1, "normal": 2, "low": 3}
    figures = {"in_hand": 1, "delayed": 0, "dead_letters": 0, "oldest_waiting": MOMENT}
    return {"tenant_id": f"tenant-{number}", "state": "active", "depth": depth, **figures}


def load(nodes: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "at": MOMENT, "nodes": nodes, "slots": 200, "in_hand": 6, "queued": 6, "delayed": 0, "dead_letters": 0,
        "oldest_waiting": None, "claims_per_second": 2.0, "ends_per_second": 2.0, "tenants_ready": 1,
        "waits": {"p50_ms": 1.0, "p99_ms": 2.0, "samples": 3}, "tenants_seen": 40,
        "tenants": [tenant(number) for number in range(40)], **more,
    }  # fmt: skip


def drawn(figures: dict[str, Any]) -> list[str]:
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=False)
    console.print(dashboard(figures, rows=24))
    file: Any = console.file
    return str(file.getvalue()).splitlines()


def test_services_with_an_open_breaker_are_named() -> None:
    nodes = [node("a", query="open"), node("b", query="half_open", embedding="open")]
    lines = drawn(load(nodes, breakers={"query": 2, "embedding": 1}))
    assert "breakers embedding open on 1 of 2 · query half_open/open on 2 of 2" in lines


def test_closed_breakers_are_one_line() -> None:
    assert "breakers all closed" in drawn(load([node("a")], breakers={}))


def test_an_older_service_that_reports_no_breakers_gets_no_line_for_them() -> None:
    assert not any(line.startswith("breakers") for line in drawn(load([node("a")])))


def test_the_dashboard_fits_one_screen() -> None:
    lines = drawn(load([node(str(number)) for number in range(9)], breakers={}))
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "9 of 40 tenants · q quits"
