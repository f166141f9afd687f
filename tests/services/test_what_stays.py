"""Every kind of work is done, its time passes, and Redis holds what docs/reference/redis.md says that stays."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.redis.connection import Redis, open_redis
from tests.services.workflows.house import House, open_house
from tests.support.credentials import ADMIN_KEY, keyed
from tests.support.eventually import eventually
from tests.support.settable_clock import SettableClock

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "redis.md"
ADMIN = keyed(ADMIN_KEY)
EMPTIED = {
    "orchestrator:sessions:acme",
    "orchestrator:sessions:acme:user:ann",
    "orchestrator:sessions:acme:timers",
    "orchestrator:sessions:acme:open",
    "orchestrator:sessions:acme:ended",
    "orchestrator:batches:acme",
    "orchestrator:batches:acme:waiting",
    "orchestrator:tasks:acme:index",
    "orchestrator:tasks:acme:delayed",
}
"""Lists of what has ended by then."""
LONGEST_SECONDS = 400 * 86_400
WEEKS = 5
HOUR = 3600.0
WEEK = 7 * 24 * HOUR
"""The longest that Redis keeps what work leaves; what the service looks through itself goes within an hour here."""
OF_WORK = ":(session|task|batch|message|idempotency|trace|call|ticket|limits|deduplication|cache):"
"""Records of work, which Redis lets go when their time is over."""
OF_A_PERIOD = re.compile(r"orchestrator:(usage|budget):acme:\d{6}.*")
"""What is kept of each day or month, for a bounded time after it: the number depends on the date."""


def patterns() -> list[re.Pattern[str]]:
    """What may stay, as the page lists it."""
    text = PAGE.read_text(encoding="utf-8").partition("## What stays")[2].partition("\n## ")[0]
    names = re.findall(r"`(orchestrator:[^`]+)`", text)
    return [re.compile(re.sub(r"\\\{\w+\\\}", "[^:]+", re.escape(name))) for name in names]


def unlisted(names: Sequence[str]) -> list[str]:
    listed = patterns()
    return sorted(name for name in names if not any(one.fullmatch(name) for one in listed))


async def do_everything(house: House, redis: Redis) -> None:
    """Have one of each kind of work done."""

    async def call(route: str, body: Any = None, *, method: str = "POST") -> Any:
        reply = await house.call(method, route, body)
        assert reply.status < 300, (route, reply.json)
        return reply.data

    async def operate(path: str, body: Any = None, *, method: str = "POST") -> Any:
        answer = await house.http.request(method, f"{house.url}/internal/v1/{path}", json=body, headers=ADMIN)
        assert answer.status_code < 300, (path, answer.text)
        return answer.json()["data"]

    letters = await redis.xlen("orchestrator:dlq:acme")
    turn = {"mode": "wait", "timeout_ms": 20_000}
    for agent, said in (("docs-guide", "How do I drain a tenant?"), ("calculator", "6 * 7"), ("echo", "hello")):
        session_id = (await call("session.create", {"agent_id": agent}))["session_id"]
        await call("chat.message", {"session_id": session_id, "content": said, **turn})
        await call(f"session.ticket/{session_id}")
        await call(f"session.close/{session_id}", method="DELETE")
    await call("session.create", {"agent_id": "echo", "ttl_seconds": 3600})
    await call("tool.execute", {"tool_id": "calculator", "parameters": {"expression": "6 * 7"}})
    await call("workflow.execute", {"workflow_id": "arithmetic", "input": {"expression": "6 * 7"}, "mode": "wait"})
    items = [{"content": f"say {number}"} for number in range(3)]
    batch_id = (await call("batch.create", {"agent_id": "echo", "items": items}))["batch_id"]
    await eventually(
        "the batch has ended",
        lambda: call(f"batch.get/{batch_id}", method="GET"),
        lambda batch: batch["status"] == "completed",
        within=20,
    )
    kept = await call("schedule.create", {"cron": "0 0 1 1 *", "agent_id": "echo", "content": "hi"})
    await redis.hset(f"orchestrator:schedule:acme:{kept['schedule_id']}", "next_at", 1)
    await redis.zadd("orchestrator:schedules:acme:due", {kept["schedule_id"]: 1})
    await redis.zadd("orchestrator:due", {"acme": 1})
    await eventually(
        "the schedule has run",
        lambda: call(f"schedule.get/{kept['schedule_id']}", method="GET"),
        lambda schedule: schedule["last_run_at"] is not None,
        within=20,
    )
    made = await call("schedule.create", {"cron": "* * * * *", "agent_id": "echo", "content": "hi"})
    await call(f"schedule.delete/{made['schedule_id']}", method="DELETE")
    await operate("notification.send", {"title": "Hi", "message": "All", "user_ids": ["ann"]})
    await operate("notification.send", {"title": "Hi", "message": "All"})
    await call("notification.list", method="GET")
    await operate("token.revoke", {"jti": "t1"})
    await redis.xadd("orchestrator:tasks:acme", {"message": "{}"})
    house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "agent_execution", status=400, count=1))
    session_id = (await call("session.create", {"agent_id": "echo"}))["session_id"]
    await house.call("POST", "chat.message", {"session_id": session_id, "content": "hello", **turn})
    assert (await operate("dlq.replay/acme", {}))["replayed"] == 1
    assert await redis.xlen("orchestrator:dlq:acme") == letters + 2
    await operate("tenant.drain/acme", {"mode": "discard"})
    await operate("tenant.resume/acme")
    await eventually(
        "nothing is queued", lambda: redis.xlen("orchestrator:tasks:acme:high"), lambda count: count == 0, within=20
    )


async def let_time_pass(redis: Redis) -> None:
    """Let everything go whose time is bounded, and let the moments come at which lists are looked through."""
    for name in await redis.keys("*"):
        if await redis.ttl(name) >= 0:
            await redis.delete(name)
    for index in (
        "orchestrator:tasks:acme:index",
        "orchestrator:sessions:acme:ended",
        "orchestrator:sessions:acme:open",
    ):
        for member in await redis.zrange(index, 0, -1):
            await redis.zadd(index, {member: 1})


async def test_what_is_done_leaves_nothing_but_what_the_page_lists(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.queue.worker.sweeper._EVERY", 0.1)
    async with open_house(redis_url, retain_tasks=60.0, retain_sessions=60.0) as house, open_redis(redis_url) as redis:
        await do_everything(house, redis)
        ttls = {name.decode(): await redis.ttl(name) for name in await redis.keys("*")}
        assert max(ttls.values()) <= LONGEST_SECONDS
        for name in await redis.keys("orchestrator:session:acme:*"):
            # The sessions that are still open end, and their records with them.
            session_id = name.decode().split(":")[3]
            if await redis.hget(f"orchestrator:session:acme:{session_id}", "state"):
                await house.call("DELETE", f"session.close/{session_id}")

        async def left() -> list[str]:
            await let_time_pass(redis)
            names = [name.decode() for name in await redis.keys("*")]
            return [*unlisted(names), *(name for name in names if name in EMPTIED)]

        await eventually("nothing else is left", left, lambda names: names == [], within=20)
        assert unlisted([name for name, seconds in ttls.items() if seconds == -1 and ":session:" not in name]) == []


async def test_weeks_of_work_leave_no_more_keys_than_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SettableClock.make(tmp_path / "clock")
    if clock is None:
        pytest.skip("Redis' clock can't be set here")
    monkeypatch.setenv("PATH", f"{clock.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("orchestrator.queue.worker.sweeper._EVERY", 0.1)
    short = {"retain_tasks": HOUR, "retain_sessions": HOUR, "pause_after": HOUR / 6, "archive_after": HOUR}
    async with (
        run_redis(tmp_path / "redis", fsync="no") as server,
        open_house(server.url, **short) as house,
        open_redis(server.url) as redis,
    ):

        async def kept() -> list[str]:
            names = sorted(name.decode() for name in await redis.keys("*"))
            return [name for name in names if not OF_A_PERIOD.fullmatch(name)]

        async def left() -> list[str]:
            clock.step(HOUR)
            return [name for name in await kept() if name in EMPTIED or re.search(OF_WORK, name)]

        weeks = []
        for _ in range(WEEKS):
            await do_everything(house, redis)
            for schedule in (await house.call("GET", "schedule.list")).data["items"]:
                await house.call("DELETE", f"schedule.delete/{schedule['schedule_id']}")
            clock.step(WEEK)
            await eventually("what was done has gone", left, lambda names: names == [], within=30)
            weeks.append(await kept())
        assert {name for names in weeks[1:] for name in names} - set(weeks[0]) == set()
        assert await redis.ttl("orchestrator:notifications:acme:ann") > 0
