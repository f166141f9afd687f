"""Scripts that meet a key of the wrong type: they write all that they have to, or nothing."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import pytest
import trio
from attrs import evolve, frozen

from orchestrator.errors import CallTimeout, TenantDamaged
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.script import Script
from tests.queue.stage import SETTINGS, Stage, context, open_stage

WHOLE: Final = (
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
    run = Script.__call__

    async def noting(script: Script, redis: Redis, *, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        if script.name not in WHOLE:
            return await run(script, redis, keys=keys, args=args)
        before = await dump(redis)
        reply = await run(script, redis, keys=keys, args=args)
        noted.setdefault(script.name, []).append(Call(keys, args, before, await dump(redis)))
        return reply

    settings = evolve(SETTINGS, task_retries=1, task_retry_delay=0.05)
    async with open_stage(redis_url, settings) as stage:
        monkeypatch.setattr(Script, "__call__", noting)
        await work(stage)
        monkeypatch.setattr(Script, "__call__", run)
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
    stage.turns.running = trio.Event()
    await stage.say(third, "hold b")
    await stage.turns.running.wait()
    await stage.say(third, "say c")
    await stage.sessions.close(context(), third.session_id)
    stage.turns.release.set()


async def fail_and_wait(stage: Stage) -> None:
    """Let a turn start over, and one wait for its client until it is cancelled."""
    session = await stage.session()
    stage.turns.failures.append(CallTimeout("The agent was slow."))
    await stage.ended(session, await stage.say(session, "flaky a"))
    waiting = await stage.say(session, "tool 60000")
    await stage.becomes(session, waiting, TaskStatus.WAITING)
    await stage.say(session, "say b")
    await stage.chat.cancel(context(), waiting.message_id)


@pytest.mark.parametrize("name", WHOLE)
async def test_a_key_of_the_wrong_type_leaves_nothing_half_written(
    calls: tuple[Redis, dict[str, list[Call]]], name: str
) -> None:
    redis, noted = calls
    refused = 0
    for call in noted[name]:
        for damaged in sorted({*call.before, *call.after}):
            await restore(redis, call.before, damaged)
            before = await contents(redis)
            try:
                await Script(name)(redis, keys=call.keys, args=call.args)
            except TenantDamaged:
                refused += 1
                assert await contents(redis) == before, damaged
    assert refused > 0
