"""Plain tasks: admitted whole or not at all, ended once, each with an event log of its own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from attrs import evolve, frozen

from orchestrator.codec import encode
from orchestrator.errors import FencedOut, ServiceFault, TenantDamaged
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import Lane, TaskMessage, TaskMetadata, TaskStatus
from orchestrator.store.events.events import EventLog
from orchestrator.store.keys import Keys
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.script import load_scripts
from orchestrator.store.sessions.sessions import Rates, Viewer
from orchestrator.store.tasks.admission import Admission, Verdict
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.plain_tasks import KnownTenants, PlainTaskStore, Repeat, TaskBounds, TaskEnd
from orchestrator.store.tasks.tasks import Retry, TaskStore
from orchestrator.store.tasks.timelines import TimelineStore

BOUNDS = TaskBounds(retain_tasks=600)
FIRST = ("workflow.status_update", b'{"data":{"first":1}}')
LAST = ("workflow.completed", b'{"data":{"last":1}}')
AGAIN = ("workflow.status_update", b'{"data":{"again":1}}')
DONE = TaskEnd(TaskStatus.COMPLETED, result=b'{"x":1}', events=[LAST])


class TaskLog(EventLog):
    """The log of a task."""

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.task(tenant_id, owner_id)


def a_task(**fields: Any) -> TaskMessage:
    message = TaskMessage(
        message_id=new_id(),
        task_id=new_id(),
        tenant_id="acme",
        correlation_id=new_id(),
        created_at=to_timestamp(now_ms()),
        type=MessageType("test", "noop"),
        metadata=TaskMetadata("ann"),
        payload={"n": 1},
    )
    return evolve(message, **fields)


@frozen
class Shelf:
    """The stores that a task passes through."""

    redis: Redis
    generic: PlainTaskStore
    tasks: TaskStore

    async def admit(self, message: TaskMessage, **fields: Any) -> Admission:
        arguments: dict[str, Any] = {"lane": Lane.NORMAL, "event": FIRST, "bounds": BOUNDS} | fields
        return await self.generic.admit(message, **arguments)

    async def claim(self) -> Claim:
        """Claim the one task that waits."""
        (claim,) = (await self.tasks.claim("acme", "node-1", 10)).claims
        return claim

    async def finish(self, claim: Claim, end: TaskEnd = DONE) -> bool:
        return await self.generic.finish(claim, end, retain_seconds=600)

    async def events(self, task_id: str) -> list[tuple[int, str, bytes]]:
        log = TaskLog(self.redis, self.generic.keys)
        return [(event.offset, event.name, event.body) for event in await log.read("acme", task_id, after=0)]

    async def key_count(self) -> int:
        size: int = await self.redis.dbsize()
        return size


@pytest.fixture
async def shelf(redis_url: str) -> AsyncIterator[Shelf]:
    async with open_redis(redis_url) as redis:
        shared = (redis, Keys(), 1000, LimitDefaults({"queue_length": "10", "bytes": ""}))
        yield Shelf(redis, PlainTaskStore(*shared), TaskStore(*shared))


async def test_a_task_is_admitted_claimed_and_ended_with_all_that_is_kept_of_it(shelf: Shelf) -> None:
    message = a_task()
    assert await shelf.admit(message, record={"plan": b"{}"}) == Admission(Verdict.OK)
    claim = await shelf.claim()
    assert (claim.task_id, claim.attempt, claim.session, claim.message()) == (message.task_id, 1, None, message)
    assert claim.record[b"plan"] == b"{}"
    assert not await shelf.finish(claim)

    task = await shelf.tasks.get(Viewer("acme", "ann", sees_whole_tenant=False), message.task_id)
    assert task is not None
    assert (task.status, task.result, task.attempt) == (TaskStatus.COMPLETED, {"x": 1}, 1)
    assert await shelf.events(message.task_id) == [(1, *FIRST), (2, *LAST)]
    keys = shelf.generic.keys
    assert await shelf.redis.xlen(keys.lane("acme", Lane.NORMAL)) == 0
    record = keys.task("acme", message.task_id)
    for key in (record, f"{record}:events"):
        assert 590 <= await shelf.redis.ttl(key) <= 600


async def test_tasks_that_end_at_the_same_moment_end_each_for_itself(shelf: Shelf) -> None:
    await load_scripts(shelf.redis)
    for _ in range(4):
        await shelf.admit(a_task())
    first, fenced, damaged, last = (await shelf.tasks.claim("acme", "node-1", 10)).claims
    keys = shelf.generic.keys
    await shelf.redis.hset(keys.task("acme", fenced.task_id), "attempt", 2)
    await shelf.redis.delete(keys.task("acme", damaged.task_id))
    await shelf.redis.set(keys.task("acme", damaged.task_id), "no record")
    commands = shelf.redis.counters.commands

    async def be_refused(claim: Claim, error: type[Exception]) -> None:
        with pytest.raises(error):
            await shelf.finish(claim)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(shelf.finish, first)
        nursery.start_soon(be_refused, fenced, FencedOut)
        nursery.start_soon(be_refused, damaged, TenantDamaged)
        nursery.start_soon(shelf.finish, last, TaskEnd(TaskStatus.FAILED, error=b"{}", dead_letter=True))
    assert shelf.redis.counters.commands - commands <= 2
    statuses = [await shelf.redis.hget(keys.task("acme", one.task_id), "status") for one in (first, fenced, last)]
    assert statuses == [b"completed", b"processing", b"failed"]
    assert await shelf.events(first.task_id) == [(1, *FIRST), (2, *LAST)]
    assert await shelf.events(last.task_id) == [(1, *FIRST)]
    assert await shelf.redis.xlen(keys.lane("acme", Lane.NORMAL)) == 2
    assert await shelf.redis.xlen(keys.dead_letters("acme")) == 1


async def admit_at_once(shelf: Shelf, messages: list[TaskMessage], **fields: Any) -> list[Admission]:
    """Admit tasks at the same moment; returns what became of each."""
    found: dict[str, Admission] = {}

    async def admit(message: TaskMessage) -> None:
        found[message.task_id] = await shelf.admit(message, **fields)

    await load_scripts(shelf.redis)
    commands = shelf.redis.counters.commands
    async with trio.open_nursery() as nursery:
        for message in messages:
            nursery.start_soon(admit, message)
    assert shelf.redis.counters.commands - commands < len(messages)
    return [found[message.task_id] for message in messages]


async def test_tasks_that_come_at_the_same_moment_are_admitted_up_to_the_bound(shelf: Shelf) -> None:
    messages = [a_task(correlation_id="request") for _ in range(14)]
    found = await admit_at_once(shelf, messages)
    refused = [one for one in found if one.verdict is Verdict.FULL]
    assert ([one.verdict for one in found].count(Verdict.OK), len(refused)) == (10, 4)
    keys = shelf.generic.keys
    admitted = {message.task_id for message, one in zip(messages, found, strict=True) if one.verdict is Verdict.OK}
    assert {name.decode() for name in await shelf.redis.zrange(keys.task_index("acme"), 0, -1)} == admitted
    assert {one.task_id for one in (await shelf.tasks.claim("acme", "node-1", 20)).claims} == admitted
    kept = await shelf.redis.hgetall(keys.kept("acme"))
    assert int(kept[b"total"]) == sum(int(count) for name, count in kept.items() if name.isdigit())
    assert int(kept[b"total"]) > 10 * 1024
    for message, one in zip(messages, found, strict=True):
        assert await shelf.redis.exists(keys.task("acme", message.task_id)) == (one.verdict is Verdict.OK)


async def test_tasks_of_one_moment_are_admitted_where_the_server_has_forgotten_the_script(shelf: Shelf) -> None:
    await shelf.redis.script_flush()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(shelf.admit, a_task())
    assert len((await shelf.tasks.claim("acme", "node-1", 10)).claims) == 5


async def test_tasks_that_come_at_the_same_moment_share_the_limits_of_their_tenant_and_users(shelf: Shelf) -> None:
    users = ["ann", "ann", "ann", "ann", "bob", "bob"]
    messages = [a_task(metadata=TaskMetadata(user)) for user in users]
    found = await admit_at_once(shelf, messages, rates=Rates(tenant=0.5, user=0.2, burst_seconds=10))
    by_user = [(user, one.verdict.value, one.detail) for user, one in zip(users, found, strict=True)]
    assert sorted(by_user) == [
        ("ann", "ok", ""),
        ("ann", "ok", ""),
        ("ann", "rate", "rate_user"),
        ("ann", "rate", "rate_user"),
        ("bob", "ok", ""),
        ("bob", "ok", ""),
    ]
    following = await shelf.admit(a_task(metadata=TaskMetadata("eve")), rates=Rates(0.5, 0.2, 10))
    assert following.verdict is Verdict.OK
    last = await shelf.admit(a_task(metadata=TaskMetadata("eve")), rates=Rates(0.5, 0.2, 10))
    assert (last.verdict, last.detail) == (Verdict.RATE, "rate")


async def test_the_same_request_at_the_same_moment_makes_one_task(shelf: Shelf) -> None:
    found = await admit_at_once(
        shelf, [a_task() for _ in range(5)], repeat=Repeat("key", "digest"), answer=b'{"task":1}'
    )
    assert sorted(one.verdict.value for one in found) == ["ok", "replayed", "replayed", "replayed", "replayed"]
    assert await shelf.redis.xlen(shelf.generic.keys.lane("acme", Lane.NORMAL)) == 1


async def test_a_damaged_place_refuses_the_task_that_it_is_of_and_no_other(shelf: Shelf) -> None:
    messages = [a_task() for _ in range(5)]
    damaged = messages[2].task_id
    await shelf.redis.set(f"{shelf.generic.keys.task('acme', damaged)}:events", "no log")
    refused: list[str] = []

    async def admit(message: TaskMessage) -> None:
        try:
            await shelf.admit(message)
        except TenantDamaged:
            refused.append(message.task_id)

    async with trio.open_nursery() as nursery:
        for message in messages:
            nursery.start_soon(admit, message)
    assert refused == [damaged]
    assert await shelf.redis.zcard(shelf.generic.keys.task_index("acme")) == 4


async def test_the_same_request_makes_one_task(shelf: Shelf) -> None:
    first, again = a_task(), a_task()
    repeat = Repeat("key", "digest")
    await shelf.admit(first, repeat=repeat, answer=b'{"task":1}')
    keys = await shelf.key_count()
    replayed = await shelf.admit(again, repeat=repeat, answer=b'{"task":2}')
    assert (replayed.verdict, replayed.detail) == (Verdict.REPLAYED, '{"task":1}')
    other = await shelf.admit(again, repeat=Repeat("key", "another"))
    assert other.verdict is Verdict.REUSED
    assert await shelf.key_count() == keys
    assert (await shelf.claim()).task_id == first.task_id


async def test_a_deduplication_key_holds_until_its_task_has_ended(shelf: Shelf) -> None:
    def same() -> TaskMessage:
        return a_task(metadata=TaskMetadata("ann", deduplication_key="nightly"))

    await shelf.admit(same(), answer=b"1")
    second = await shelf.admit(same(), answer=b"2")
    assert (second.verdict, second.detail) == (Verdict.REPLAYED, "1")
    await shelf.finish(await shelf.claim())
    assert (await shelf.admit(same(), answer=b"3")).verdict is Verdict.OK


@pytest.mark.parametrize("state", ["draining", "drained"])
async def test_a_tenant_that_drains_takes_nothing_in(shelf: Shelf, state: str) -> None:
    await shelf.redis.hset(shelf.generic.keys.tenant_config("acme"), "state", state)
    refused = await shelf.admit(a_task(), repeat=Repeat("key", "digest"))
    assert (refused.verdict, refused.detail) == (Verdict.TENANT, state)
    assert await shelf.key_count() == 1


async def test_a_paused_tenant_takes_tasks_in(shelf: Shelf) -> None:
    await shelf.redis.hset(shelf.generic.keys.tenant_config("acme"), "state", "paused")
    assert (await shelf.admit(a_task())).verdict is Verdict.OK


@pytest.mark.parametrize(
    "rates", [Rates(tenant=0.01, user=0.02, burst_seconds=100), Rates(tenant=0.02, user=0.01, burst_seconds=100)]
)
async def test_the_rates_of_tenant_and_user_bound_admission(shelf: Shelf, rates: Rates) -> None:
    admitted = await shelf.admit(a_task(), rates=rates)
    assert admitted.verdict is Verdict.OK
    assert 90_000 <= admitted.wait_ms <= 100_000
    keys = await shelf.key_count()
    refused = await shelf.admit(a_task(), rates=rates, repeat=Repeat("key", "digest"))
    assert refused.verdict is Verdict.RATE
    assert 1 <= refused.wait_ms <= 100_000
    assert await shelf.key_count() == keys


async def test_a_tenants_own_rate_goes_before_the_services(shelf: Shelf) -> None:
    await shelf.redis.hset(shelf.generic.keys.tenant_config("acme"), "rate", 1)
    rates = Rates(tenant=100, user=100, burst_seconds=1)
    assert (await shelf.admit(a_task(), rates=rates)).verdict is Verdict.OK
    assert (await shelf.admit(a_task(), rates=rates)).verdict is Verdict.RATE


async def test_a_full_queue_takes_nothing_more_in_delayed_ones_counted(shelf: Shelf) -> None:
    await shelf.redis.hset(shelf.generic.keys.tenant_config("acme"), "queue_length", 2)
    later = now_ms() + 60_000
    assert (await shelf.admit(a_task())).verdict is Verdict.OK
    assert (await shelf.admit(a_task(), scheduled_ms=later)).verdict is Verdict.OK
    refused = await shelf.admit(a_task(), scheduled_ms=later)
    assert (refused.verdict, refused.detail) == (Verdict.FULL, "queue_length")


async def test_a_task_begins_at_its_moment(shelf: Shelf) -> None:
    message = a_task()
    admitted = await shelf.admit(message, scheduled_ms=now_ms() + 60_000)
    assert (admitted.verdict, admitted.turns_before) == (Verdict.OK, None)
    assert (await shelf.tasks.claim("acme", "node-1", 10)).claims == []
    assert await shelf.redis.zscore(shelf.generic.keys.delayed("acme"), message.task_id)


@pytest.mark.parametrize("ahead_ms", [-1000, 367 * 86_400_000])
async def test_a_moment_that_is_past_or_too_far_ahead_is_refused(shelf: Shelf, ahead_ms: int) -> None:
    assert (await shelf.admit(a_task(), scheduled_ms=now_ms() + ahead_ms)).verdict is Verdict.MOMENT
    assert await shelf.key_count() == 0


async def test_a_tasks_session_is_noted_and_its_turns_stay_as_they_are(shelf: Shelf) -> None:
    message = a_task(session_id="session-1")
    await shelf.admit(message)
    claim = await shelf.claim()
    assert claim.record[b"of_session"] == b"session-1"
    assert b"session_id" not in claim.record
    assert not await shelf.redis.exists(shelf.generic.keys.session("acme", "session-1"))


async def test_a_fenced_attempt_ends_nothing(shelf: Shelf) -> None:
    await shelf.admit(a_task())
    zombie = await shelf.claim()
    await shelf.tasks.hand_back(zombie)
    current = await shelf.claim()
    with pytest.raises(FencedOut):
        await shelf.finish(zombie)
    await shelf.finish(current)
    with pytest.raises(FencedOut):
        await shelf.finish(current)


async def test_events_of_a_running_task_stand_in_its_own_log_once_each(shelf: Shelf) -> None:
    message = a_task()
    await shelf.admit(message)
    claim = await shelf.claim()
    for number in (1, 1, 2):
        await shelf.tasks.emit(claim, "", number, "step", b'{"data":{"number":%d}}' % number)
    await shelf.finish(claim)
    names = [(offset, name) for offset, name, _ in await shelf.events(message.task_id)]
    assert names == [(1, FIRST[0]), (2, "step"), (3, "step"), (4, LAST[0])]


async def test_a_task_that_starts_over_says_so_in_its_own_log(shelf: Shelf) -> None:
    message = a_task()
    await shelf.admit(message)
    error = encode(ServiceFault("The agent is away.").body())
    retry = Retry(delay_ms=1000, time_left_ms=1000, error=error, body=AGAIN[1], event=AGAIN[0])
    await shelf.tasks.retry(await shelf.claim(), "", retry)
    assert (await shelf.events(message.task_id))[-1] == (2, *AGAIN)
    timelines = TimelineStore(shelf.redis, shelf.generic.keys, 1000)
    for kept, told in ((error, "ORCH_CONN_001: The agent is away"), (b"{}", "")):
        await shelf.redis.hset(shelf.generic.keys.task("acme", message.task_id), "retry_error", kept)
        facts = await timelines.wait_facts(Viewer("acme", "ann", sees_whole_tenant=True), message.task_id)
        assert facts is not None
        assert facts.failed_with == told


async def test_a_permanent_failure_is_a_dead_letter(shelf: Shelf) -> None:
    message = a_task()
    await shelf.admit(message)
    await shelf.finish(await shelf.claim(), TaskEnd(TaskStatus.FAILED, error=b'{"code":"x"}', dead_letter=True))
    ((_, letter),) = await shelf.redis.xrange(shelf.generic.keys.dead_letters("acme"))
    assert (letter[b"task_id"].decode(), letter[b"error"]) == (message.task_id, b'{"code":"x"}')


async def test_the_end_of_a_task_says_whether_a_bounded_tenant_has_more(shelf: Shelf) -> None:
    await shelf.redis.hset(shelf.generic.keys.tenant_config("acme"), "concurrency", 1)
    for _ in range(2):
        await shelf.admit(a_task())
    assert await shelf.finish(await shelf.claim())
    assert not await shelf.finish(await shelf.claim())


async def test_a_tenant_is_in_the_list_of_all_before_its_first_task_is_admitted(shelf: Shelf) -> None:
    known = KnownTenants(shelf.redis, shelf.generic.keys)
    await known.note("acme")
    assert await shelf.redis.smembers(shelf.generic.keys.tenants) == {b"acme"}
    commands = shelf.redis.counters.commands
    await known.note("acme")
    assert shelf.redis.counters.commands == commands
