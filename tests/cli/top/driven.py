"""Driving the application of `top` by keys, against a service that answers from a table."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import click
import trio
from attrs import frozen
from textual.pilot import Pilot

from cli.core.client import AdminApi
from cli.core.context import Target
from cli.top.app import TopApp
from cli.top.source import Source
from tests.cli.commands.test_operators import Operators, open_operators

MOMENT = "2026-01-01T00:00:00.000Z"
TASK = "01a204d8-6a56-7770-bdc0-01a89580ed9d"


def queue(tenant_id: str, *, backlog: int = 0, dead: int = 0, **more: Any) -> dict[str, Any]:
    """Make the queue of a tenant as the API has it."""
    figures = {"queued": backlog, "in_hand": 1, "delayed": 0, "parked": 0, "dead_letters": dead, "backlog": backlog}
    behind = {"behind_sessions": 0, "behind_users": 0, "batch_items": 0, "accepted_per_minute": 4}
    depth = {"high": 0, "normal": backlog, "low": 0}
    return {
        "tenant_id": tenant_id,
        "state": "active",
        "depth": depth,
        "oldest_waiting": None,
        **figures,
        **behind,
        **more,
    }


def node(name: str, *, ended: int = 0, **more: Any) -> dict[str, Any]:
    """Make a process as the API has it."""
    waits = {"p50_ms": 1.0, "p99_ms": 2.0, "samples": 3}
    load = {"host": "host", "pid": 7, "version": "1", "slots": 100, "in_hand": 3, "ended": ended, "waits": waits}
    rates = {"claims_per_second": 1.0, "ends_per_second": 1.0, "breakers": {}, "open_calls": []}
    return {"node": name, "heartbeat_age_ms": 100, "live": True, "load": {**load, **rates, **more}}


def load(*tenants: dict[str, Any], nodes: tuple[dict[str, Any], ...] = (), **more: Any) -> dict[str, Any]:
    """Make the load of the service as the API has it."""
    notice = {"name": "node.joined", "node": "node-1", "at": MOMENT, "about": {"version": "1"}}
    return {
        "at": MOMENT, "nodes": list(nodes or (node("node-1"),)), "slots": 100, "in_hand": 3, "queued": 3, "delayed": 0,
        "dead_letters": 0, "oldest_waiting": None, "claims_per_second": 2.0, "ends_per_second": 2.0,
        "tenants_ready": 1, "waits": {"p50_ms": 1.0, "p99_ms": 2.0, "samples": 3}, "tenants_seen": len(tenants),
        "tenants": list(tenants), "breakers": {}, "backlog": sum(one["backlog"] for one in tenants),
        "callee_breakers": [], "notices": [notice], **more,
    }  # fmt: skip


def task(task_id: str, **more: Any) -> dict[str, Any]:
    """Make a task as the API has it."""
    ids = {"correlation_id": "correlation-1", "user_id": "ada", "agent_id": "echo", "session_id": "session-1"}
    return (
        {"task_id": task_id, "type": "chat.message", "status": "pending", "attempt": 1, "created_at": MOMENT}
        | ids
        | more
    )


@frozen
class Driver:
    """The keys and the eyes of a user."""

    app: TopApp
    pilot: Pilot[Any]

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    def lines(self) -> list[str]:
        """Return what is on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip).rstrip() for strip in strips]

    async def see(self, text: str, *, gone: bool = False) -> list[str]:
        """Wait until the screen has a text, or has it no more; returns its lines."""
        await self.until(
            f"{text!r} is {'gone' if gone else 'there'}", lambda: (text in "\n".join(self.lines())) is not gone
        )
        return self.lines()

    async def until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        ends = time.monotonic() + 15
        while not holds():
            assert time.monotonic() < ends, f"waited in vain until {what}:\n" + "\n".join(self.lines())
            await self.pilot.pause(0.02)


@asynccontextmanager
async def service(*tenants: dict[str, Any], **more: Any) -> AsyncIterator[Operators]:
    """Serve a load of tenants, a queue and two tasks of the first one."""
    async with open_operators() as fake:
        first = tenants[0]
        steps = [
            {"at": MOMENT, "after_ms": 0, "step": "accepted", "task_id": TASK, "attempt": 0, "detail": "", "node": ""},
            {"at": MOMENT, "after_ms": 5, "step": "claimed", "task_id": TASK, "attempt": 1, "detail": "", "node": "n1"},
        ]
        trace = {"correlation_id": "correlation-1", "started_at": MOMENT, "duration_ms": 1500, "steps": steps}
        failed = task("another-task", status="failed", error={"code": "ORCH_CONN_001", "message": "away"})
        fake.answers |= {
            "orchestrator.load": [load(*tenants, **more)],
            "tenant.get": [first],
            "tenant.pause": [first | {"state": "paused"}],
            "tenant.resume": [first | {"state": "active"}],
            "tenant.drain": [first | {"state": "draining"}],
            "queue.get": [first],
            "task.list": [{"items": [task(TASK), failed]}],
            "task.get": [task(TASK)],
            "task.why": [{"says": "2 tasks of the tenant come before it.", "estimated_start": MOMENT}],
            "task.trace": [trace],
        }
        yield fake


async def drive(fake: Operators, use: Callable[[Driver], Awaitable[None]], *, size: tuple[int, int] = (80, 24)) -> Any:
    """Run the application in a thread, and `use` it; returns its result."""

    def run() -> Any:
        target = Target(fake.url, fake.url.replace("http", "ws", 1), api_key="key")
        with click.Context(click.Command("top")), AdminApi(target, timeout=5) as api:
            source = Source(target, api, 200)
            app = TopApp(source, source.load())

            async def pilot(pilot: Pilot[Any]) -> None:
                await use(Driver(app, pilot))

            return app.run(headless=True, size=size, auto_pilot=pilot)

    return await trio.to_thread.run_sync(run)
