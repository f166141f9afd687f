"""Every single damage of a list is found and mended: a key deleted, a counter set, an entry of an index removed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import pytest
import trio
from attrs import evolve, frozen

from cli.commands.operations.consistency import check_tenants
from orchestrator.models.events.notification import NotificationSend
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.schedule import ScheduleCreate
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.services.operations import consistency
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.services.scheduling.schedules import ScheduleService
from orchestrator.store.consistency.damage import KEPT_SECONDS
from orchestrator.store.consistency.key_types import KeyTypes
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.stores import Stores
from tests.queue.stage import SETTINGS, context, open_stage
from tests.queue.tasks.test_batch_items import open_batches


@frozen
class Scene:
    """A tenant with work in many places; nothing runs."""

    redis: Any
    stores: Stores
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
    def keys(self) -> Any:
        return self.stores.keys

    def record(self, task_id: str) -> str:
        return str(self.keys.task("acme", task_id))

    def session(self, session: Session) -> str:
        return str(self.keys.session("acme", session.session_id))

    def reader(self, part: str = "") -> str:
        return f"{self.keys.user_notifications('acme', 'ann')}{part}"

    @property
    def batch_key(self) -> str:
        return str(self.keys.batch("acme", self.batch))

    @property
    def lane(self) -> Lane:
        return Lane.HIGH

    def checker(self) -> ConsistencyChecker:
        stores = self.stores
        return ConsistencyChecker(stores.consistency, stores.reservation_checks, stores.ready, stores.due)

    async def audit(self) -> Report:
        return await self.checker().audit("acme")


@asynccontextmanager
async def play(redis_url: str) -> AsyncIterator[Scene]:
    """Let the work of the scene come to where it is."""
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
        notifications = NotificationService(stage.stores.notifications)
        await notifications.send(context(), NotificationSend("Hi", "Read this", user_ids=["ann"]))
        await stage.stores.feed.open("acme")
        yield Scene(
            stage.redis, stage.stores, busy, idle, asking, turns[0].task_id, turns[1].task_id, failed.task_id,
            done.task_id, waiting.task_id, batch.batch_id, schedule.schedule_id,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _a_moment_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing runs here that could put right by itself what is missing.
    monkeypatch.setattr(consistency, "_BETWEEN", 0.0005)


Kept = list[tuple[bytes, int, bytes]]
"""Keys, the milliseconds that each has left (0: it stays), and what is in it."""
_played: list[tuple[Scene, Kept]] = []


async def _keep(redis: Any) -> Kept:
    names = await redis.keys("*")
    left = await redis.gather([("PTTL", name) for name in names])
    values = await redis.gather([("DUMP", name) for name in names])
    # What expires in between is gone.
    kept = zip(names, left, values, strict=True)
    return [(name, max(0, ms), value) for name, ms, value in kept if value is not None]


async def _held(scene: Scene) -> dict[bytes, object]:
    """Return what the keys of the tenant hold, all but its rate limits, which are over in a moment."""
    held: dict[bytes, object] = {}
    for name, _, value in await _keep(scene.redis):
        if b"acme" in name and b":limits:" not in name:
            # A hash that is only looked at may give its fields in another order.
            is_hash = await scene.redis.type(name) == b"hash"
            held[name] = await scene.redis.hgetall(name) if is_hash else value
    return held


@asynccontextmanager
async def open_scene(redis_url: str) -> AsyncIterator[Scene]:
    """Open the scene: it is played once, and what Redis held then is put back each time."""
    if not _played:
        async with play(redis_url) as played:
            _played.append((played, await _keep(played.redis)))
    scene, kept = _played[0]
    async with open_redis(redis_url) as redis:
        await redis.flushall()
        await redis.gather([("RESTORE", name, ms, value) for name, ms, value in kept])
        yield evolve(scene, redis=redis, stores=Stores.over(redis, SETTINGS))


Damage = Callable[[Scene], Awaitable[object]]


async def _spoil(key: Callable[[Scene], str], scene: Scene) -> None:
    await scene.redis.delete(key(scene))
    await scene.redis.set(key(scene), "x")


KEYS: Final[dict[str, Callable[[Scene], str]]] = {
    "the log of a session": lambda s: s.keys.events("acme", s.busy.session_id),
    "the packed log of a session": lambda s: s.keys.events("acme", s.idle.session_id, packed=True),
    "the waiting turns": lambda s: s.keys.turns("acme", s.busy.session_id),
    "the history of a session": lambda s: s.keys.history("acme", s.idle.session_id),
    "the states of a session": lambda s: s.keys.states("acme", s.idle.session_id),
    "a user's list of sessions": lambda s: s.keys.user_sessions("acme", "ann"),
    "the failed tasks": lambda s: s.keys.ended_index("acme", "failed"),
    "the window of a batch": lambda s: s.keys.batch_window("acme", s.batch),
    "the items of a batch": lambda s: s.keys.batch_items("acme", s.batch),
    "the results of a batch": lambda s: s.keys.batch_results("acme", s.batch),
    "the log of a batch": lambda s: f"{s.batch_key}:events",
    "the log of a task": lambda s: f"{s.record(s.queued)}:events",
    "the bytes kept": lambda s: s.keys.kept("acme"),
    "a budget": lambda s: s.keys.budget("acme", _today()),
    "the usage of a day": lambda s: s.keys.usage("acme", _today()),
    "a user's notifications": lambda s: s.reader(),
    "the bodies of a user's notifications": lambda s: s.reader(":bodies"),
    "the log of the feed": lambda s: f"{s.keys.feed('acme')}:events",
    "the audit trail": lambda s: s.keys.tenant_audit("acme", "administration"),
    "the attempts of a callback": lambda s: s.keys.callbacks("acme", s.done),
    "the ready tenants": lambda s: s.keys.ready,
    "the due tenants": lambda s: s.keys.due,
    "the list of tenants": lambda s: s.keys.tenants,
    "the weights of tenants": lambda s: s.keys.weights,
    "the tenants with open calls": lambda s: s.keys.doubts,
    "the processes": lambda s: s.keys.nodes,
    "the revocations": lambda s: s.keys.revocations,
    "the API keys": lambda s: s.keys.api_keys,
    "the notices": lambda s: s.keys.notices,
}
"""Keys in whose place is something of another type."""
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
    "the sum of waiting turns garbled": lambda s: s.redis.hset(s.keys.turns_waiting("acme"), "", "odd"),
    "a sum that is 0 garbled": lambda s: s.redis.hset(s.keys.users("acme"), "", "odd"),
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
    "the offset of a session set too high": lambda s: s.redis.hset(s.session(s.idle), "offset", 99),
    "the offset of a session removed": lambda s: s.redis.hdel(s.session(s.busy), "offset"),
    "the log of a session deleted": lambda s: s.redis.delete(s.keys.events("acme", s.busy.session_id)),
    "the offset of a batch set too high": lambda s: s.redis.hset(s.batch_key, "offset", 99),
    "the offset of a batch removed": lambda s: s.redis.hdel(s.batch_key, "offset"),
    "the epoch of a batch removed": lambda s: s.redis.hdel(s.batch_key, "epoch"),
    "the offset of a user's notifications set": lambda s: s.redis.hset(s.reader(), "offset", 99),
    "the offset of a user's notifications spoilt": lambda s: s.redis.hset(s.reader(), "offset", "x"),
    "the epoch of a user's notifications removed": lambda s: s.redis.hdel(s.reader(), "epoch"),
    "the bodies of notifications deleted": lambda s: s.redis.delete(s.reader(":bodies")),
    "the order of notifications deleted": lambda s: s.redis.delete(s.reader(":order")),
    "the expiry of notifications deleted": lambda s: s.redis.delete(s.reader(":expiry")),
    "an acknowledgement of no notification": lambda s: s.redis.hset(s.reader(":acks"), "x", 1),
    "the offset of the feed spoilt": lambda s: s.redis.hset(s.keys.feed("acme"), "offset", "x"),
    "the offset of the feed set": lambda s: s.redis.hset(s.keys.feed("acme"), "offset", 99),
    "the log of the feed deleted": lambda s: s.redis.delete(f"{s.keys.feed('acme')}:events"),
    "a cursor spoilt": lambda s: s.redis.hset(s.keys.cursors("acme"), s.lane, "x"),
    "a cursor far ahead": lambda s: s.redis.hset(s.keys.cursors("acme"), s.lane, f"{2**45}-0"),
    "a queued task's lane removed": lambda s: s.redis.hdel(s.record(s.queued), "lane"),
    "a queued task in another lane": lambda s: s.redis.hset(s.record(s.queued), "lane", "low"),
    "a queued task's user removed": lambda s: s.redis.hdel(s.record(s.queued), "user_id"),
    "a queued task's session removed": lambda s: s.redis.hdel(s.record(s.queued), "session_id"),
    "a queued task that expires": lambda s: s.redis.expire(s.record(s.queued), 1000),
    "an ended task that does not expire": lambda s: s.redis.persist(s.record(s.done)),
    "an open session that expires": lambda s: s.redis.expire(s.session(s.idle), 1000),
    "an open session that ends at another moment": lambda s: s.redis.zadd(
        s.keys.open_sessions("acme"), {s.idle.session_id: 2**42}
    ),
    "a session's record deleted": lambda s: s.redis.delete(s.session(s.idle)),
    "a busy session's record deleted": lambda s: s.redis.delete(s.session(s.busy)),
    "a stranger in the list of sessions": lambda s: s.redis.zadd(s.keys.sessions("acme"), {"x": 1}),
    "a stranger in a user's list of sessions": lambda s: s.redis.zadd(s.keys.user_sessions("acme", "ann"), {"x": 1}),
    "another user's session in a user's list": lambda s: s.redis.zadd(
        s.keys.user_sessions("acme", "bob"), {s.idle.session_id: 1}
    ),
    "a stranger among the open sessions": lambda s: s.redis.zadd(s.keys.open_sessions("acme"), {"x": 2**42}),
    "an open session among the ended ones": lambda s: s.redis.zadd(
        s.keys.ended_sessions("acme"), {f"{s.idle.session_id} ann": 2**42}
    ),
    "a stranger among the timers of sessions": lambda s: s.redis.zadd(s.keys.session_timers("acme"), {"x": 2**42}),
    "the open sessions deleted": lambda s: s.redis.delete(s.keys.open_sessions("acme")),
    "a stranger among the failed tasks": lambda s: s.redis.zadd(s.keys.ended_index("acme", "failed"), {"x": 1}),
    "a completed task among the failed ones": lambda s: s.redis.zadd(s.keys.ended_index("acme", "failed"), {s.done: 1}),
    "a stranger among the parked tasks": lambda s: s.redis.xadd(s.keys.parked("acme"), {"task_id": "x"}),
    "a queued task among the parked ones": lambda s: s.redis.xadd(s.keys.parked("acme"), {"task_id": s.queued}),
    "a user's task in the lanes that is not there": lambda s: s.redis.hset(s.keys.users("acme"), "bob", "x"),
    "a stranger behind a user's task": lambda s: s.redis.rpush(s.keys.user_tasks("acme", "bob"), "x"),
    "the record of a batch deleted": lambda s: s.redis.delete(s.batch_key),
    "the items of a batch deleted": lambda s: s.redis.delete(s.keys.batch_items("acme", s.batch)),
    "an item of a batch removed": lambda s: s.redis.hdel(s.keys.batch_items("acme", s.batch), "5"),
    "a stranger in the window of a batch": lambda s: s.redis.sadd(s.keys.batch_window("acme", s.batch), 77),
    "a waiting item in the window of a batch": lambda s: s.redis.sadd(s.keys.batch_window("acme", s.batch), 5),
    "the task of an item of a batch deleted": lambda s: s.redis.delete(s.record(f"{s.batch}.0")),
    "a result of a batch spoilt": lambda s: s.redis.hset(s.keys.batch_results("acme", s.batch), "0", "{"),
    "a stranger in the list of batches": lambda s: s.redis.zadd(s.keys.batches("acme"), {"x": 1}),
    "a stranger among the waiting items": lambda s: s.redis.hset(s.keys.batches_waiting("acme"), "x", 5),
    "the record of a schedule deleted": lambda s: s.redis.delete(s.keys.schedule("acme", s.schedule)),
    "a schedule's next run removed": lambda s: s.redis.hdel(s.keys.schedule("acme", s.schedule), "next_at"),
    "a stranger in the list of schedules": lambda s: s.redis.zadd(s.keys.schedules("acme"), {"x": 1}),
    "a stranger among the due schedules": lambda s: s.redis.zadd(s.keys.schedules_due("acme"), {"x": 2**42}),
    "the configured concurrency spoilt": lambda s: s.redis.hset(s.keys.tenant_config("acme"), "concurrency", "x"),
    "the configured state spoilt": lambda s: s.redis.hset(s.keys.tenant_config("acme"), "state", "x"),
    "the configuration deleted": lambda s: s.redis.delete(s.keys.tenant_config("acme")),
    "the bytes kept deleted": lambda s: s.redis.delete(s.keys.kept("acme")),
    "the spent tokens of a budget spoilt": lambda s: s.redis.hset(s.keys.budget("acme", _today()), "used", "x"),
    "the reserved tokens of a budget spoilt": lambda s: s.redis.hset(s.keys.budget("acme", _today()), "reserved", "x"),
    "the reserved tokens of a budget set": lambda s: s.redis.hset(s.keys.budget("acme", _today()), "reserved", 5),
    "a counter of the usage spoilt": lambda s: s.redis.hset(s.keys.usage("acme", _today()), "requests|agent|a|m", "x"),
    "an open call that is not there": lambda s: s.redis.zadd(s.keys.calls("acme"), {"x": 2**42}),
    "the index of another type": lambda s: s.redis.set(s.keys.task_index("acme"), "x"),
    "the lane of another type": lambda s: s.redis.set(s.keys.lane("acme", Lane.HIGH), "x"),
    "the list of sessions of another type": lambda s: s.redis.set(s.keys.sessions("acme"), "x"),
    **{f"{what} of another type": partial(_spoil, key) for what, key in KEYS.items()},
}


def _today() -> str:
    return datetime.now(UTC).strftime("%Y%m%d")


def test_the_list_is_long_enough() -> None:
    assert len(DAMAGES) >= 40


async def test_what_is_sound_is_found_so_and_a_repair_changes_nothing(redis_url: str) -> None:
    async with open_scene(redis_url) as scene:
        before = await _held(scene)
        audit = await scene.audit()
        assert [fault.says for fault in audit.faults] == []
        await scene.checker().repair(audit)
        assert await _held(scene) == before


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=[name.replace(" ", "-") for name in DAMAGES])
async def test_a_damage_is_found_and_mended(redis_url: str, damage: Damage) -> None:
    async with open_scene(redis_url) as scene:
        await damage(scene)
        found = await scene.audit()
        assert not found.balances
        repaired = await scene.checker().repair(found)
        assert [fault for fault in repaired.faults if not fault.mended] == []
        assert [(fault.kind, fault.subject, fault.says) for fault in (await scene.audit()).faults] == []


@pytest.mark.parametrize("name", ["tenants", "doubts", "ready", "due", "weights"])
async def test_a_damaged_key_of_all_tenants_keeps_doctor_from_none_of_them(redis_url: str, name: str) -> None:
    async with open_scene(redis_url) as scene:
        await _spoil(lambda scene: str(getattr(scene.keys, name)), scene)

        async def doctor(*, repair: bool) -> list[tuple[str, str]]:
            check = partial(check_tenants, redis_url, SETTINGS, repair=repair)
            findings = await trio.to_thread.run_sync(lambda: list(check()))
            return [(one.subject, one.verdict) for one in findings]

        assert await doctor(repair=False) == [("books acme", "failed")]
        mended = await doctor(repair=True)
        assert {verdict for _, verdict in mended} <= {"mended", "ok"}
        assert await doctor(repair=False) == [("books acme", "ok")]


async def test_what_is_put_aside_of_the_whole_service_is_kept_for_a_day(redis_url: str) -> None:
    async with open_scene(redis_url) as scene:
        await _spoil(lambda scene: scene.keys.due, scene)
        await scene.checker().repair(await scene.audit())
        assert 0 < await scene.redis.ttl(scene.keys.damaged_shared(scene.keys.due)) <= KEPT_SECONDS


async def test_every_key_of_a_tenant_has_the_type_that_is_looked_for(redis_url: str) -> None:
    records = {"task", "session", "batch", "schedule"}
    no_harm = {"trace", "idempotency", "deduplication", "execution"}
    async with open_scene(redis_url) as scene:
        types = KeyTypes(scene.keys, "acme")
        for raw in await scene.redis.keys("orchestrator:*acme*"):
            name = raw.decode()
            held, wanted = (await scene.redis.type(name)).decode(), types.of(name)
            # What limits keep is gone within a second.
            assert held == "none" or wanted in {None, held}, name
            assert wanted is not None or name.split(":")[1] in records | no_harm, name


async def test_a_rate_limit_that_is_no_number_counts_as_absent(redis_url: str) -> None:
    async with open_scene(redis_url) as scene:
        for key in (scene.keys.tenant_limit("acme"), scene.keys.user_limit("acme", "ann")):
            await scene.redis.set(key, "x")
        async with open_stage(redis_url, consume=False) as stage:
            assert (await stage.say(scene.idle, "say b")).task_id
        assert await scene.redis.get(scene.keys.tenant_limit("acme")) != b"x"


STRANGERS: Final = [name for name in DAMAGES if "stranger" in name and "parked" not in name]


@pytest.mark.parametrize("name", STRANGERS, ids=[name.replace(" ", "-") for name in STRANGERS])
async def test_to_take_a_stranger_out_changes_nothing_else(redis_url: str, name: str) -> None:
    async with open_scene(redis_url) as scene:
        before = await _held(scene)
        await DAMAGES[name](scene)
        await scene.checker().repair(await scene.audit())
        after = await _held(scene)
        # What was spoilt has what it had, if not in the order in which it was written.
        assert len([key for key, value in after.items() if before.get(key) != value]) <= 1
        assert set(after) == set(before)
