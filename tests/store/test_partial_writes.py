"""Scripts that meet a key of the wrong type: they write all that they have to, or nothing."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest
import trio
from attrs import evolve, frozen

from orchestrator.errors import CallTimeout, TenantDamaged
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.sessions.chat import ChatTurn, IfBusy
from orchestrator.models.tasks.replay import ReplayRequest
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.script import Script
from orchestrator.store.tasks.plain_tasks import TaskBounds
from tests.queue.operations import open_desk, operator
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.store.tasks.test_plain_tasks import a_task

WHOLE: Final = (
    "admission/admit_task",
    "admission/admit_turn",
    "admission/enqueue_task",
    "attempts/cancel_task",
    "attempts/claim",
    "attempts/emit",
    "attempts/finish",
    "attempts/release_due",
    "attempts/retry",
    "attempts/wait",
    "sessions/close_session",
    "sessions/create_session",
    "sessions/move_session",
)
"""Scripts that are held to it here."""

FEW: Final = 5

Dump = dict[bytes, bytes]


@frozen
class Call:
    """A call of a script, and what Redis held before and after it."""

    keys: Sequence[Any]
    args: Sequence[Any]
    before: Dump
    after: Dump


async def dump(redis: Redis) -> Dump:
    """Return all keys that do not expire by themselves within the test."""
    names = sorted(await redis.keys("orchestrator:*"))
    found = await redis.gather([("DUMP", name) for name in names])
    # Rates and heartbeats go by the clock, and not by what a script does.
    passing = (b"orchestrator:limits:", b"orchestrator:nodes", b"orchestrator:probe:")
    return {name: raw for name, raw in zip(names, found, strict=True) if raw and not name.startswith(passing)}


async def contents(redis: Redis) -> dict[bytes, Any]:
    """Return what the keys hold. The same hash may be dumped in another order of its fields."""
    held: dict[bytes, Any] = dict(await dump(redis))
    types = await redis.gather([("TYPE", name) for name in held])
    hashes = [name for name, kind in zip(held, types, strict=True) if kind == b"hash"]
    return held | {name: await redis.hgetall(name) for name in hashes}


async def restore(redis: Redis, held: Dump, damaged: bytes) -> None:
    """Let Redis hold this, and something of the wrong type in the place of one key."""
    commands: list[tuple[Any, ...]] = [("FLUSHDB",)]
    commands += [("RESTORE", name, 0, raw) for name, raw in held.items() if name != damaged]
    odd = ("SET", damaged, "odd") if not damaged.startswith(b"orchestrator:limits") else ("RPUSH", damaged, "odd")
    await redis.gather([*commands, odd])


@pytest.fixture
async def calls(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Redis, dict[str, list[Call]]]]:
    """Do some work, and note the calls of the scripts."""
    noted: dict[str, list[Call]] = {}
    run, join = Script.__call__, Script.join

    async def noting(script: Script, redis: Redis, *, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        if script.name not in WHOLE:
            return await run(script, redis, keys=keys, args=args)
        before = await dump(redis)
        reply = await run(script, redis, keys=keys, args=args)
        noted.setdefault(script.name, []).append(Call(keys, args, before, await dump(redis)))
        return reply

    async def noting_joined(script: Script, redis: Redis, **joined: Any) -> Any:
        before = await dump(redis)
        reply = await join(script, redis, **joined)
        keys, args = [*joined["keys"], *joined.get("own_keys", ())], [*joined["args"], *joined["own_args"]]
        noted.setdefault(script.name, []).append(Call(keys, args, before, await dump(redis)))
        return reply

    settings = evolve(SETTINGS, task_retries=1, task_retry_delay=0.05)
    async with open_stage(redis_url, settings) as stage:
        monkeypatch.setattr(Script, "__call__", noting)
        monkeypatch.setattr(Script, "join", noting_joined)
        await work(stage)
        monkeypatch.setattr(Script, "__call__", run)
        monkeypatch.setattr(Script, "join", join)
    async with open_redis(redis_url) as redis:
        yield redis, noted


async def work(stage: Stage) -> None:
    """Let sessions come and go, and turns end well and badly."""
    first, second, third = [await stage.session() for _ in range(3)]
    await stage.ended(first, await stage.say(first, "say a"))
    await stage.ended(second, await stage.say(second, "fail"))
    await stage.sessions.pause(context(), first.session_id)
    await stage.sessions.close(context(), first.session_id)
    await fail_and_wait(stage)
    await admit(stage)
    stage.turns.running = trio.Event()
    await stage.say(third, "hold b")
    await stage.turns.running.wait()
    await stage.say(third, "say c")
    await stage.sessions.close(context(), third.session_id)
    stage.turns.release.set()


async def admit(stage: Stage) -> None:
    """Let a turn take another one's place, one begin later, one be done again; and work come in that is no turn."""
    session = await stage.session()
    stage.turns.running = trio.Event()
    await stage.say(session, "hold d")
    await stage.turns.running.wait()
    await stage.say(session, "say e", if_busy=IfBusy.INTERRUPT)
    stage.turns.release.set()
    done = await stage.say(session, "say f")
    await stage.ended(session, done)
    later = ChatTurn("say g", scheduled_for=to_timestamp(now_ms() + 3_600_000))
    await stage.chat.send(context(), session.session_id, later)
    await open_desk(stage).replays.replay(operator(), "acme", done.task_id, ReplayRequest())
    tasks, bounds = stage.stores.plain_tasks, TaskBounds(retain_tasks=600)
    for scheduled_ms in (None, now_ms() + 3_600_000):
        event = ("workflow.status_update", b'{"data":{}}')
        await tasks.admit(a_task(), lane=Lane.NORMAL, event=event, bounds=bounds, scheduled_ms=scheduled_ms)
    stage.turns.release = trio.Event()


async def fail_and_wait(stage: Stage) -> None:
    """Let a turn start over, and one wait for its client until it is cancelled."""
    session = await stage.session()
    stage.turns.failures.append(CallTimeout("The agent was slow."))
    await stage.ended(session, await stage.say(session, "flaky a"))
    waiting = await stage.say(session, "tool 60000")
    await stage.becomes(session, waiting, TaskStatus.WAITING)
    await stage.say(session, "say b")
    await stage.chat.cancel(context(), waiting.message_id)


async def test_a_key_of_the_wrong_type_leaves_nothing_half_written(
    calls: tuple[Redis, dict[str, list[Call]]],
) -> None:
    redis, noted = calls
    refused = Counter[str]()
    for name in WHOLE:
        for call in some(noted[name]):
            for damaged in sorted({*call.before, *call.after}):
                await restore(redis, call.before, damaged)
                before = await contents(redis)
                try:
                    reply = await Script(name)(redis, keys=call.keys, args=call.args)
                    if isinstance(reply, list) and isinstance(reply[0], TenantDamaged):
                        raise reply[0]
                except TenantDamaged:
                    refused[name] += 1
                    assert await contents(redis) == before, (name, damaged)
    assert [name for name in WHOLE if not refused[name]] == []


def some(calls: Sequence[Call]) -> Sequence[Call]:
    """Return a few calls from all of the work: many are alike."""
    return calls[:: -(-len(calls) // FEW)]


@pytest.mark.parametrize("kind", ["session", "batch", "schedule"])
async def test_what_is_set_aside_leaves_all_lists_or_none(redis_url: str, kind: str) -> None:
    keys = Keys()
    async with open_redis(redis_url) as redis:
        await redis.zadd(keys.sessions("acme"), {"one": 1})
        await redis.zadd(keys.session_timers("acme"), {"one": 1})
        await redis.rpush(keys.turns("acme", "one"), "t1", "t2")
        await redis.zadd(keys.batches("acme"), {"one": 1})
        await redis.hset(keys.batches_waiting("acme"), mapping={"one": 3})
        await redis.zadd(keys.schedules("acme"), {"one": 1})
        await redis.zadd(keys.schedules_due("acme"), {"one": 1})
        for key in (keys.session("acme", "one"), keys.batch("acme", "one"), keys.schedule("acme", "one")):
            await redis.set(key, "damaged")
        held, script = await dump(redis), Script("consistency/set_aside")
        lanes = [keys.lane("acme", lane).encode() for lane in Lane]
        refused = 0
        for damaged in sorted({*held, *lanes}):
            await restore(redis, held, damaged)
            before = await contents(redis)
            try:
                await script(redis, keys=[keys.lane("acme", Lane.NORMAL)], args=["acme", 100, kind, "one", 60])
            except TenantDamaged:
                refused += 1
                assert await contents(redis) == before, damaged
        assert refused > 1


@pytest.mark.parametrize("name", ["nodes", "loads"])
async def test_a_heartbeat_is_kept_with_its_load_or_not_at_all(redis_url: str, name: str) -> None:
    keys = Keys()
    async with open_redis(redis_url) as redis:
        await redis.set(getattr(keys, name), "odd")
        with pytest.raises(TenantDamaged):
            await Script("scheduling/heartbeat")(redis, keys=[keys.nodes, keys.loads], args=["node-1", "{}"])
        assert await redis.keys("orchestrator:nodes*") == [getattr(keys, name).encode()]
