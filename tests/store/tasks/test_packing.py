"""What has ended is packed: it takes less memory, and reads as before."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest
from attrs import evolve, frozen

from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.sessions.chat import ChatAccepted
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.queue.worker import packer
from orchestrator.store.contents import MESSAGE
from orchestrator.store.events.feed import entries_of
from orchestrator.store.records import RecordDamaged
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.callback_log import CallbackSubject
from orchestrator.store.tasks.packing import PackingStore
from tests.queue.stage import SETTINGS, Stage, context, open_stage

KEY = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
VIEWER = Viewer("acme", "ann", sees_whole_tenant=False)


@pytest.fixture(autouse=True)
def _only_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing packed but by the tests."""
    monkeypatch.setattr(packer, "DELAY_SECONDS", 3600.0)


@pytest.fixture(params=[(), (KEY,)], ids=["clear", "sealed"])
async def stage(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url, evolve(SETTINGS, encryption_keys=request.param)) as opened:
        yield opened


@pytest.fixture
async def clear_stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as opened:
        yield opened


async def ended_turn(stage: Stage, content: str = "say hello there") -> tuple[Session, ChatAccepted]:
    session = await stage.session()
    accepted = await stage.say(session, content)
    await stage.ended(session, accepted)
    return session, accepted


async def same(read: Callable[[], Awaitable[object]], pack: Callable[[], Awaitable[bool]]) -> None:
    """Read before and after packing."""
    before = await read()
    assert before
    assert await pack()
    assert await read() == before


@frozen
class Packing:
    """Packs one thing at a time; returns whether it was packed."""

    store: PackingStore

    async def pack_task(self, tenant_id: str, task_id: str) -> bool:
        return bool(await self.store.pack(tenant_id, [task_id], []))

    async def pack_log(self, tenant_id: str, session_id: str) -> bool:
        return bool(await self.store.pack(tenant_id, [], [session_id]))


def packing(stage: Stage) -> Packing:
    return Packing(stage.stores.packing)


async def test_a_packed_record_reads_as_before(stage: Stage) -> None:
    _, turn = await ended_turn(stage)
    stores = stage.stores

    async def read() -> object:
        task = await stores.tasks.get(VIEWER, turn.task_id)
        assert task is not None
        assert task.result is not None
        assert task.input is not None
        steps = await stores.timelines.steps(VIEWER, task.correlation_id)
        assert [step.step for step in steps] == ["accepted", "claimed", "finished"]
        return task, steps, await stores.dead_letters.record("acme", turn.task_id)

    await same(read, lambda: packing(stage).pack_task("acme", turn.task_id))


async def test_a_packed_record_is_stored_compactly_and_goes_when_it_would_have_gone(clear_stage: Stage) -> None:
    _, turn = await ended_turn(clear_stage)
    name, redis = clear_stage.keys.task("acme", turn.task_id), clear_stage.redis
    before, ttl = await redis.memory_usage(name, samples=0), await redis.ttl(name)
    assert await packing(clear_stage).pack_task("acme", turn.task_id)
    assert await redis.object("ENCODING", name) == b"listpack"
    assert await redis.memory_usage(name, samples=0) < before / 2
    assert ttl - 2 <= await redis.ttl(name) <= ttl


async def test_steps_that_come_after_a_task_was_packed_follow_the_others(stage: Stage) -> None:
    _, turn = await ended_turn(stage)
    assert await packing(stage).pack_task("acme", turn.task_id)
    name = stage.keys.task("acme", turn.task_id)
    await stage.redis.hset(name, "steps", f"{now_ms()}\tgateway\t1\t\tllm")
    task = await stage.stores.tasks.get(VIEWER, turn.task_id)
    assert task is not None
    steps = await stage.stores.timelines.steps(VIEWER, task.correlation_id)
    assert [step.step for step in steps] == ["accepted", "claimed", "finished", "gateway"]


async def test_a_timeline_is_read_without_what_else_its_tasks_hold(stage: Stage) -> None:
    _, turn = await ended_turn(stage)
    task = await stage.stores.tasks.get(VIEWER, turn.task_id)
    assert task is not None
    await stage.redis.hset(stage.keys.task("acme", turn.task_id), "result", b"x" * 2**20)
    received = stage.redis.counters.bytes_in
    assert await stage.stores.timelines.steps(VIEWER, task.correlation_id)
    assert stage.redis.counters.bytes_in - received < 2**16


async def test_a_packed_delivery_says_what_it_tells_of(stage: Stage) -> None:
    name, contents = stage.keys.task("acme", "d1"), stage.stores.tasks.contents
    message = contents.seal("acme", MESSAGE, b'{"payload":{"task_id":"t1"}}')
    record = {"type": "webhook.deliver", "user_id": "ann", "finished_at": "1", "message": message}
    await stage.redis.hset(name, mapping=dict(record))
    await stage.redis.expire(name, 60)
    await same(lambda: stage.stores.callbacks.subject(VIEWER, "d1"), lambda: packing(stage).pack_task("acme", "d1"))
    assert await stage.stores.callbacks.subject(VIEWER, "d1") == CallbackSubject("t1", "d1")


async def test_a_packed_log_reads_as_before_from_every_offset(clear_stage: Stage) -> None:
    session, _ = await ended_turn(clear_stage)

    async def read() -> object:
        everything = await clear_stage.events(session)
        assert [event.offset for event in everything] == [*range(1, len(everything) + 1)]
        for after in range(len(everything) + 1):
            for limit in (1, 2, 256):
                page = await clear_stage.log.read("acme", session.session_id, after=after, limit=limit)
                assert page == everything[after : after + limit]
        return everything

    await same(read, lambda: packing(clear_stage).pack_log("acme", session.session_id))
    assert not await clear_stage.redis.exists(clear_stage.keys.events("acme", session.session_id))


async def test_events_follow_packed_ones_without_a_gap(clear_stage: Stage) -> None:
    session, _ = await ended_turn(clear_stage)
    for number in range(3):
        assert await packing(clear_stage).pack_log("acme", session.session_id)
        async with clear_stage.hub.follow("acme", session.session_id, after=1) as follower:
            assert follower.recovered
            await clear_stage.ended(session, await clear_stage.say(session, f"say {number}"))
            seen = [event.offset for event in await follower.receive()]
        assert seen == [*range(2, seen[-1] + 1)]
    events = await clear_stage.events(session)
    assert [event.offset for event in events] == [*range(1, len(events) + 1)]
    trace = await clear_stage.stores.session_traces.read("acme", session.session_id, events=3)
    assert (trace.events_kept, [event.offset for event in trace.last_events]) == (
        len(events),
        [event.offset for event in events[-3:]],
    )


async def test_the_feed_of_a_tenant_has_packed_events_too(clear_stage: Stage) -> None:
    feed = clear_stage.stores.feed
    await feed.open("acme")
    session, _ = await ended_turn(clear_stage)
    entries = entries_of(await feed.read("acme", "", after=0))
    references = [entry.reference for entry in entries if entry.reference.offset is not None]

    async def read() -> object:
        events = await feed.events_of("acme", references)
        assert len(events) > 4
        assert None not in events
        return events

    await same(read, lambda: packing(clear_stage).pack_log("acme", session.session_id))
    of_another = [evolve(references[0], epoch="another"), evolve(references[0], kind="later", id="x")]
    assert await feed.events_of("acme", of_another) == [None, None]


async def test_packs_go_as_the_events_in_them_would_have_gone(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, event_log_length=20)) as stage:
        session = await stage.session()
        for number in range(8):
            await stage.ended(session, await stage.say(session, f"say {number}"))
            assert await packing(stage).pack_log("acme", session.session_id)
        kept = await stage.events(session)
        head, _ = await stage.log.head("acme", session.session_id)
        assert 20 <= len(kept) <= 30
        assert [event.offset for event in kept] == [*range(head - len(kept) + 1, head + 1)]
        log = stage.keys.events("acme", session.session_id, packed=True)
        assert 0 < await stage.redis.ttl(log) <= 86_400


async def test_events_behind_a_gap_are_not_told_as_if_there_was_none(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, event_log_length=10)) as stage:
        session, _ = await ended_turn(stage)
        assert await packing(stage).pack_log("acme", session.session_id)
        log, redis = stage.keys.events("acme", session.session_id), stage.redis
        await stage.ended(session, await stage.say(session, "say more"))
        assert await redis.xtrim(log, maxlen=1, approximate=False)
        (last,) = await stage.log.read("acme", session.session_id, after=1)
        assert last.offset == (await stage.log.head("acme", session.session_id))[0]
        async with stage.hub.follow("acme", session.session_id, after=1) as follower:
            assert not follower.recovered
        await stage.ended(session, await stage.say(session, "say it again"))
        assert await packing(stage).pack_log("acme", session.session_id)
        assert (await stage.log.read("acme", session.session_id, after=1))[0] == last
        assert await redis.llen(stage.keys.events("acme", session.session_id, packed=True)) == 1


async def test_the_log_of_a_session_whose_turn_runs_is_left_alone(clear_stage: Stage) -> None:
    session = await clear_stage.session()
    turn = await clear_stage.say(session, "hold on")
    await clear_stage.turns.running.wait()
    assert not await packing(clear_stage).pack_log("acme", session.session_id)
    assert not await packing(clear_stage).pack_task("acme", turn.task_id)
    clear_stage.turns.release.set()
    await clear_stage.ended(session, turn)
    assert await packing(clear_stage).pack_log("acme", session.session_id)


async def test_sealed_logs_stay_as_they_are_and_nothing_of_a_packed_record_is_in_clear(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, encryption_keys=(KEY,))) as stage:
        session, turn = await ended_turn(stage, "say zanzibar")
        assert not await packing(stage).pack_log("acme", session.session_id)
        assert await packing(stage).pack_task("acme", turn.task_id)
        record = await stage.redis.hgetall(stage.keys.task("acme", turn.task_id))
        assert b"zanzibar" not in b"".join(record.values())
        assert record[b"z:0"].startswith(b"\xff")


@pytest.mark.parametrize(
    "changed",
    [lambda steps: steps + b"\nmore", lambda steps: steps[::-1]],
    ids=["longer", "of the same length, as what is sealed anew"],
)
async def test_a_record_is_packed_once_and_one_that_changes_meanwhile_is_left_alone(
    clear_stage: Stage, changed: Callable[[bytes], bytes]
) -> None:
    _, turn = await ended_turn(clear_stage)
    store, name = packing(clear_stage), clear_stage.keys.task("acme", turn.task_id)
    gather, before = clear_stage.redis.gather, await clear_stage.redis.hget(name, "steps")

    async def change_behind(commands: list[Any], **how: Any) -> list[Any]:
        replies = await gather(commands, **how)
        if commands[0][0] == "HGETALL":
            await clear_stage.redis.hset(name, "steps", changed(before))
        return replies

    reads: Any = _Reads(clear_stage.redis, change_behind)
    assert not await Packing(evolve(store.store, redis=reads)).pack_task("acme", turn.task_id)
    assert await clear_stage.redis.hget(name, "steps") == changed(before)
    assert await store.pack_task("acme", turn.task_id)
    assert not await store.pack_task("acme", turn.task_id)


async def test_damage_of_one_holds_up_no_other(clear_stage: Stage) -> None:
    (_, broken), (other, turn) = await ended_turn(clear_stage), await ended_turn(clear_stage)
    record = clear_stage.keys.task("acme", broken.task_id)
    await clear_stage.redis.delete(record)
    await clear_stage.redis.set(record, "no record")
    tasks = [broken.task_id, turn.task_id]
    assert await clear_stage.stores.packing.pack("acme", tasks, ["gone", other.session_id]) == 2


async def test_scripts_that_the_server_has_forgotten_are_sent(clear_stage: Stage) -> None:
    session, turn = await ended_turn(clear_stage)
    await clear_stage.redis.script_flush()
    assert await clear_stage.stores.packing.pack("acme", [turn.task_id], [session.session_id]) == 2


async def test_damage_of_a_packed_record_is_told_as_such(clear_stage: Stage) -> None:
    _, turn = await ended_turn(clear_stage)
    await packing(clear_stage).pack_task("acme", turn.task_id)
    await clear_stage.redis.hset(clear_stage.keys.task("acme", turn.task_id), "z:0", b"\xfe1nonsense")
    with pytest.raises(RecordDamaged, match="What is kept of a task"):
        await clear_stage.stores.tasks.get(VIEWER, turn.task_id)


async def test_a_completed_turn_keeps_no_checkpoint_but_which_agent_has_answered(clear_stage: Stage) -> None:
    _, turn = await ended_turn(clear_stage)
    record = await clear_stage.redis.hgetall(clear_stage.keys.task("acme", turn.task_id))
    left = {name for name in record if b":" in name} - {b"checkpoint:agent_version"}
    assert left == set()
    assert not {b"emitted", b"calls", b"log_from", b"expires_at"} & set(record)
    assert orjson.loads(record[b"result"])["content"] == "hello there"


async def test_a_failed_turn_keeps_what_a_replay_needs(clear_stage: Stage) -> None:
    session, turn = await ended_turn(clear_stage, "fail")
    await packing(clear_stage).pack_task("acme", turn.task_id)
    task = await clear_stage.tasks.get(context(session.tenant_id, session.user_id), turn.task_id)
    assert (task.status, task.input and task.input["content"]) == (TaskStatus.FAILED, "fail")
    assert await clear_stage.stores.dead_letters.input_of("acme", turn.task_id) == task.input


class _Reads:
    """A connection whose reading of records a test replaces."""

    def __init__(self, redis: object, gather: Callable[..., Awaitable[object]]) -> None:
        self._redis = redis
        self.gather = gather

    def __getattr__(self, name: str) -> object:
        return getattr(self._redis, name)
