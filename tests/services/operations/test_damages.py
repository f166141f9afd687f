"""Every single damage of a list is found and mended: a key deleted, a counter set, an entry of an index removed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from attrs import frozen

from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.schedule import ScheduleCreate
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.services.scheduling.schedules import ScheduleService
from tests.queue.stage import Stage, context, open_stage
from tests.queue.tasks.test_batch_items import open_batches


@frozen
class Scene:
    """A tenant with work in many places; nothing runs."""

    stage: Stage
    busy: Session
    """Its first turn is queued, two wait behind it."""
    idle: Session
    """Its turns have ended: one failed."""
    asking: Session
    """Its turn waits for its client's tool."""
    queued: str
    second: str
    failed: str
    done: str
    waiting: str
    batch: str
    """Of six items, of which two are tasks."""
    schedule: str

    @property
    def redis(self) -> Any:
        return self.stage.redis

    @property
    def keys(self) -> Any:
        return self.stage.keys

    def record(self, task_id: str) -> str:
        return str(self.keys.task("acme", task_id))

    def session(self, session: Session) -> str:
        return str(self.keys.session("acme", session.session_id))

    @property
    def lane(self) -> Lane:
        return Lane.HIGH

    def checker(self) -> ConsistencyChecker:
        stores = self.stage.stores
        return ConsistencyChecker(stores.consistency, stores.reservation_checks, stores.ready, stores.due)

    async def audit(self) -> Report:
        return await self.checker().audit("acme")


@asynccontextmanager
async def open_scene(redis_url: str) -> AsyncIterator[Scene]:
    async with open_stage(redis_url) as stage:
        idle, asking = await stage.session(), await stage.session()
        done, failed = await stage.say(idle, "say a"), await stage.say(idle, "fail")
        await stage.ended(idle, failed)
        waiting = await stage.say(asking, "tool 600000")
        await stage.becomes(asking, waiting, TaskStatus.WAITING)
    async with open_batches(redis_url, consume=False) as batches:
        stage = batches.stage
        busy = await stage.session()
        turns = [await stage.say(busy, f"say {number}") for number in range(3)]
        batch = await batches.create([f"say {number}" for number in range(6)], max_concurrency=2)
        schedules = ScheduleService(stage.stores.schedules, stage.stores.due, stage.stores.audit)
        schedule, _ = await schedules.create(context(), ScheduleCreate("0 8 * * *", "echo", "hi"))
        await stage.stores.tenants.configure("acme", {"weight": 2.0})
        await stage.stores.ready.mark("acme")
        await stage.stores.due.mark_in("acme", 0)
        yield Scene(
            stage, busy, idle, asking, turns[0].task_id, turns[1].task_id, failed.task_id, done.task_id,
            waiting.task_id, batch.batch_id, schedule.schedule_id,
        )  # fmt: skip


Damage = Callable[[Scene], Awaitable[object]]
DAMAGES: Final[dict[str, Damage]] = {
    "the lane of turns deleted": lambda s: s.redis.delete(s.keys.lane("acme", s.lane)),
    "the lane of batch items deleted": lambda s: s.redis.delete(s.keys.lane("acme", Lane.LOW)),
    "an entry of a task that is not there": lambda s: s.redis.xadd(s.keys.lane("acme", Lane.NORMAL), {"task_id": "x"}),
    "the delayed tasks deleted": lambda s: s.redis.delete(s.keys.delayed("acme")),
    "a waiting task taken out of the delayed": lambda s: s.redis.zrem(s.keys.delayed("acme"), s.waiting),
    "a stranger among the delayed": lambda s: s.redis.zadd(s.keys.delayed("acme"), {"x": 1}),
    "an ended task among the delayed": lambda s: s.redis.zadd(s.keys.delayed("acme"), {s.done: 2**42}),
    "a queued task among the delayed": lambda s: s.redis.zadd(s.keys.delayed("acme"), {s.queued: 2**42}),
    "the index deleted": lambda s: s.redis.delete(s.keys.task_index("acme")),
    "a queued task taken out of the index": lambda s: s.redis.zrem(s.keys.task_index("acme"), s.queued),
    "an ended task taken out of the index": lambda s: s.redis.zrem(s.keys.task_index("acme"), s.done),
    "a stranger in the index": lambda s: s.redis.zadd(s.keys.task_index("acme"), {"x": 1}),
    "a failed task taken out of its index": lambda s: s.redis.zrem(s.keys.ended_index("acme", "failed"), s.failed),
    "the index of failed tasks deleted": lambda s: s.redis.delete(s.keys.ended_index("acme", "failed")),
    "a queued task's record deleted": lambda s: s.redis.delete(s.record(s.queued)),
    "a queued task's status removed": lambda s: s.redis.hdel(s.record(s.queued), "status"),
    "a queued task's entry removed": lambda s: s.redis.hdel(s.record(s.queued), "entry"),
    "a queued task called running": lambda s: s.redis.hset(s.record(s.queued), "status", "processing"),
    "a queued task called completed": lambda s: s.redis.hset(s.record(s.queued), "status", "completed"),
    "a queued task's message spoilt": lambda s: s.redis.hset(s.record(s.queued), "message", "{"),
    "the active task removed": lambda s: s.redis.hdel(s.session(s.busy), "active_task_id"),
    "another active task": lambda s: s.redis.hset(s.session(s.busy), "active_task_id", "x"),
    "an idle session called processing": lambda s: s.redis.hset(s.session(s.idle), "state", "PROCESSING"),
    "an idle session with an ended active task": lambda s: s.redis.hset(s.session(s.idle), "active_task_id", s.done),
    "a session's epoch removed": lambda s: s.redis.hdel(s.session(s.busy), "epoch"),
    "the waiting turns deleted": lambda s: s.redis.delete(s.keys.turns("acme", s.busy.session_id)),
    "a waiting turn twice": lambda s: s.redis.rpush(s.keys.turns("acme", s.busy.session_id), s.second),
    "the active turn among the waiting": lambda s: s.redis.rpush(s.keys.turns("acme", s.busy.session_id), s.queued),
    "an ended turn among the waiting": lambda s: s.redis.rpush(s.keys.turns("acme", s.idle.session_id), s.done),
    "the sum of waiting turns set": lambda s: s.redis.hset(s.keys.turns_waiting("acme"), "", 500),
    "a session's waiting turns set": lambda s: s.redis.hset(s.keys.turns_waiting("acme"), s.busy.session_id, 9),
    "the counts of waiting turns deleted": lambda s: s.redis.delete(s.keys.turns_waiting("acme")),
    "the list of sessions deleted": lambda s: s.redis.delete(s.keys.sessions("acme")),
    "a session taken out of the list": lambda s: s.redis.zrem(s.keys.sessions("acme"), s.idle.session_id),
    "a session taken out of its user's list": lambda s: s.redis.zrem(
        s.keys.user_sessions("acme", "ann"), s.idle.session_id
    ),
    "a session taken out of the open ones": lambda s: s.redis.zrem(s.keys.open_sessions("acme"), s.idle.session_id),
    "the timers of sessions deleted": lambda s: s.redis.delete(s.keys.session_timers("acme")),
    "the list of batches deleted": lambda s: s.redis.delete(s.keys.batches("acme")),
    "the waiting items of a batch set": lambda s: s.redis.hset(s.keys.batches_waiting("acme"), s.batch, 99),
    "the waiting items of batches deleted": lambda s: s.redis.delete(s.keys.batches_waiting("acme")),
    "the completed items of a batch set": lambda s: s.redis.hset(s.keys.batch("acme", s.batch), "completed", 5),
    "the failed items of a batch set": lambda s: s.redis.hset(s.keys.batch("acme", s.batch), "failed", 1),
    "the begun items of a batch set": lambda s: s.redis.hset(s.keys.batch("acme", s.batch), "started", 6),
    "the window of a batch deleted": lambda s: s.redis.delete(s.keys.batch_window("acme", s.batch)),
    "the list of schedules deleted": lambda s: s.redis.delete(s.keys.schedules("acme")),
    "the due schedules deleted": lambda s: s.redis.delete(s.keys.schedules_due("acme")),
    "a schedule due at another moment": lambda s: s.redis.zadd(s.keys.schedules_due("acme"), {s.schedule: 2**42}),
    "a schedule's cron spoilt": lambda s: s.redis.hset(s.keys.schedule("acme", s.schedule), "cron", "?"),
    "the tenant taken out of the list": lambda s: s.redis.srem(s.keys.tenants, "acme"),
    "the tenant taken out of the ready ones": lambda s: s.redis.zrem(s.keys.ready, "acme"),
    "the timer of the tenant deleted": lambda s: s.redis.zrem(s.keys.due, "acme"),
    "the weight of the tenant removed": lambda s: s.redis.hdel(s.keys.weights, "acme"),
    "the weight of the tenant set": lambda s: s.redis.hset(s.keys.weights, "acme", "9"),
    "the bytes kept set": lambda s: s.redis.hset(s.keys.kept("acme"), "total", 1),
    "the bytes kept open set": lambda s: s.redis.hset(s.keys.kept("acme"), "open", 7),
    "the index of another type": lambda s: s.redis.set(s.keys.task_index("acme"), "x"),
    "the lane of another type": lambda s: s.redis.set(s.keys.lane("acme", Lane.HIGH), "x"),
    "the list of sessions of another type": lambda s: s.redis.set(s.keys.sessions("acme"), "x"),
}


def test_the_list_is_long_enough() -> None:
    assert len(DAMAGES) >= 40


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=[name.replace(" ", "-") for name in DAMAGES])
async def test_a_damage_is_found_and_mended(redis_url: str, damage: Damage) -> None:
    async with open_scene(redis_url) as scene:
        assert [fault.says for fault in (await scene.audit()).faults] == []
        await damage(scene)
        found = await scene.audit()
        assert not found.balances
        repaired = await scene.checker().repair(found)
        assert [fault for fault in repaired.faults if not fault.mended] == []
        assert [(fault.kind, fault.subject, fault.says) for fault in (await scene.audit()).faults] == []
