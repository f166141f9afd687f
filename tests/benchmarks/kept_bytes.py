"""What Redis keeps of a finished turn: the bytes of all keys that a turn of ten words adds, key by key.

    python -m tests.benchmarks.kept_bytes [--turns 100] [--sessions 10] [--fields 1]

The whole service with its stand-ins. Turns are taken in some sessions, one after the other in each, and all keys are
measured before and after (MEMORY USAGE with all samples, as Redis allocates them), once what has ended is packed: the
difference, divided by the turns, is what one keeps. Sessions are there before, with a turn each, so what is theirs does
not count. `--fields 1` shows one record field by field.
"""

import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import click
import trio

from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.redis.connection import Redis, open_redis
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.end_to_end.stack import Stack, open_stack
from tests.support.eventually import eventually

BOUND: Final = 3500
SETTINGS: Final = {"rate_tenant": "1000000", "rate_user": "1000000", "rate_address": "0"}
_ID: Final = re.compile(r":(?:[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,}|acme|ann|\d{8,})(?=:|$)")


def kind_of(name: bytes) -> str:
    """Return a key without the ids in it."""
    return _ID.sub("", name.decode(errors="replace")).removeprefix("orchestrator:")


async def bytes_by_kind(redis: Redis) -> Counter[str]:
    """Return what the keys of each kind take."""
    found: Counter[str] = Counter()
    names = [name async for name in redis.scan_iter("orchestrator:*", count=1000)]
    sizes = await redis.gather([("MEMORY", "USAGE", name, "SAMPLES", 0) for name in names])
    for name, size in zip(names, sizes, strict=True):
        found[kind_of(name)] += size or 0
    return found


async def bytes_at_rest(redis: Redis) -> Counter[str]:
    """Return the same as soon as what has ended is packed."""
    sessions = [name async for name in redis.scan_iter("orchestrator:session:*:events", count=1000)]
    await eventually(
        "all event logs are packed", partial(redis.exists, *(sessions or ["none"])), lambda there: not there, within=30
    )
    tasks = [name async for name in redis.scan_iter("orchestrator:task:*", count=1000)]
    unpacked = [("HEXISTS", name, "message") for name in tasks]
    await eventually("all records are packed", partial(redis.gather, unpacked), lambda there: not any(there), within=30)
    return await bytes_by_kind(redis)


async def take_turns(stack: Stack, sessions: Iterable[str], turns: int) -> None:
    """Take so many turns in each session, one after the other."""

    async def talk(session_id: str) -> None:
        for _ in range(turns):
            answer = await stack.say(session_id, "echo 10 words", mode="wait")
            assert "data" in answer, answer

    async with trio.open_nursery() as nursery:
        for session_id in sessions:
            nursery.start_soon(talk, session_id)


async def kept_of_turns(stack: Stack, redis: Redis, turns: int, sessions: int) -> dict[str, float]:
    """Return the bytes that each kind of key takes for one turn."""
    opened = [await stack.session() for _ in range(sessions)]
    await take_turns(stack, opened, 1)
    before = await bytes_at_rest(redis)
    await take_turns(stack, opened, turns // sessions)
    after = await bytes_at_rest(redis)
    taken = turns // sessions * sessions
    found = {kind: (after[kind] - before[kind]) / taken for kind in after if after[kind] != before[kind]}
    return dict(sorted(found.items(), key=lambda one: -one[1]))


async def show_fields(redis: Redis) -> None:
    """Print the fields of one finished task, and what its keys are encoded as."""
    async for name in redis.scan_iter("orchestrator:task:*"):
        record = await redis.hgetall(name)
        if record.get(b"status") == TaskStatus.COMPLETED.value.encode():
            click.echo(f"{name.decode()} {await redis.object('ENCODING', name)}", err=True)
            for field, value in record.items():
                click.echo(f"  {len(value):6} {field.decode():24} {value[:300]!r}", err=True)
            return


@asynccontextmanager
async def opened(turns: int = 100, sessions: int = 10, fields: int = 0) -> AsyncIterator[Round]:
    """Start the stack."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_stack(Path(folder)) as stack, open_redis(stack.redis.url) as redis:
            await stack.start(**SETTINGS)

            async def one_round() -> Figures:
                found = await kept_of_turns(stack, redis, turns, sessions)
                if fields:
                    await show_fields(redis)
                return {"all keys, bytes": sum(found.values()), **{f"  {kind}": size for kind, size in found.items()}}

            yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("Redis memory of a finished turn of ten words", "itself: all keys", "all keys, bytes", reach=at_most(BOUND),
            unit="bytes"),
    ),
    smallest={"turns": 2, "sessions": 1},
    rounds=1,
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK)
