"""What encryption costs: the CPU time of the same turns with and without keys, in rounds in turn, in one process.

python -m tests.benchmarks.contents_at_rest [--turns 100]
"""

import base64
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import evolve

from orchestrator.models.common.ids import new_id
from orchestrator.models.events.events import ChatStream
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.services.plans.attempt import Attempt, Partial, TurnDone, TurnWaiting
from orchestrator.store.redis.connection import open_redis
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.queue.stage import SETTINGS, open_stage

KEY = f"k1:{base64.b64encode(bytes(range(32))).decode()}"
WORDS = " ".join(f"word{number}" for number in range(40))


class Tokens:
    """Answers with forty tokens, an event each."""

    async def run(self, run: Attempt, partial: Partial) -> TurnDone | TurnWaiting:
        message_id = str(run.message.metadata.message_id)
        for number, word in enumerate(WORDS.split(), start=1):
            await run.emit("chat.stream", ChatStream(message_id, number, f"{word} "))
        return TurnDone(ChatAnswer(message_id, new_id(), WORDS), "conversation-1", "1")


async def cpu_of(url: str, turns: int, keys: tuple[str, ...]) -> float:
    """Return the seconds of CPU that a turn of forty tokens, with one follower, takes this process."""
    async with open_redis(url) as redis:
        await redis.flushall()
    settings = evolve(SETTINGS, encryption_keys=keys, rate_tenant=100_000.0, rate_user=100_000.0)
    async with open_stage(url, settings, runner=Tokens()) as stage, trio.open_nursery() as nursery:
        session = await stage.session()

        async def follow() -> None:
            async with stage.hub.follow(session.tenant_id, session.session_id, capacity=10_000) as follower:
                while True:
                    for event in await follower.receive():
                        assert event.frame

        nursery.start_soon(follow)
        await stage.ended(session, await stage.say(session, WORDS))
        started = time.process_time()
        for _ in range(turns):
            await stage.ended(session, await stage.say(session, WORDS))
        spent = (time.process_time() - started) / turns
        nursery.cancel_scope.cancel()
    return spent


@asynccontextmanager
async def opened(turns: int = 100) -> AsyncIterator[Round]:
    """Start Redis."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as redis:

            async def one_round() -> Figures:
                return {
                    "clear, CPU ms a turn": await cpu_of(redis.url, turns, ()) * 1e3,
                    "encrypted, CPU ms a turn": await cpu_of(redis.url, turns, (KEY,)) * 1e3,
                }

            yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "CPU of a turn of forty tokens, encrypted at rest",
            "the same turn without keys",
            "encrypted, CPU ms a turn",
            "clear, CPU ms a turn",
            at_most(1.1),
        ),
    ),
    smallest={"turns": 2},
    warm_up=1,
    rounds=7,
)

if __name__ == "__main__":
    run(BENCHMARK)
