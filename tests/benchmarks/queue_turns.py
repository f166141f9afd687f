"""How fast the queue is: turns that do nothing, from acceptance to their end, with everything that is kept of them.

    python -m tests.benchmarks.queue_turns [--turns 6000]

One process, one Redis without append-only file. A turn is admitted (idempotency, session and owner, limits, record,
queue entry, two events), claimed (fenced, with its session's record), and ended (record, result, kept history, three
events, the session's state): nothing is left out but the agent, which answers at once.

- admit: turns a second that 32 callers get accepted without a consumer
- drain: turns a second of one consumer, from the first claim to the last end
- requests, executed, bytes: what passes between the process and Redis for one turn, and what Redis executes for it
- latency: from the call that sends a message to the first line of its turn, on an idle process
"""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import trio
from attrs import define, evolve, field

from orchestrator.models.common.ids import new_id
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import Lane
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.services.plans.attempt import Attempt, Partial, TurnDone
from orchestrator.store.script import load_scripts
from tests.benchmarks.harness import Benchmark, Round, Row, at_most, run
from tests.benchmarks.traffic import Traffic
from tests.queue.stage import SETTINGS, Stage, open_stage

CALLERS = 32
SESSIONS = 500


@define
class NothingToDo:
    """Answers at once, and notes when it was asked."""

    began: list[float] = field(factory=list)

    async def run(self, run: Attempt, partial: Partial) -> TurnDone:
        """Answer."""
        self.began.append(time.perf_counter())
        return TurnDone(ChatAnswer(str(run.message.metadata.message_id), new_id(), "done"), "conversation", "1")


async def admit(stage: Stage, sessions: list[Session], turns: int) -> float:
    """Return turns a second."""

    async def caller(number: int) -> None:
        for index in range(number, turns, CALLERS):
            await stage.say(sessions[index % SESSIONS], "nothing")

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(CALLERS):
            nursery.start_soon(caller, number)
    return turns / (time.perf_counter() - began)


async def drain(stage: Stage, turns: int) -> float:
    """Return turns a second."""
    lanes = [("XLEN", stage.keys.lane("acme", lane)) for lane in Lane]
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.consumer.run, stage.stopping)
        while any(await stage.redis.gather(lanes)):  # noqa: ASYNC110 - the end of the queue is no event
            await trio.sleep(0.01)
        took = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return turns / took


async def latency(stage: Stage, session: Session, turns: NothingToDo, count: int) -> list[float]:
    """Return ms from the call to the first line of the turn."""
    figures = []
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.consumer.run, stage.stopping)
        for number in range(count + 20):
            turns.began.clear()
            began = time.perf_counter()
            accepted = await stage.say(session, "nothing")
            await stage.ended(session, accepted)
            if number >= 20:
                figures.append((turns.began[0] - began) * 1000)
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    return figures


async def measure(turns: int) -> dict[str, float]:
    """Measure once, on a Redis of its own."""
    settings = evolve(SETTINGS, rate_tenant=1e9, rate_user=1e9, queue_length=10**7, session_queue_length=10_000)
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as store:
            answers = NothingToDo()
            async with open_stage(store.url, settings, consume=False, runner=answers) as stage:
                sessions = [await stage.session() for _ in range(SESSIONS)]
                await load_scripts(stage.redis)
                before = await Traffic.now(stage.redis)
                admitted = await admit(stage, sessions, turns)
                traffic = await before.since(stage.redis, "admit", turns)
                before = await Traffic.now(stage.redis)
                drained = await drain(stage, turns)
                traffic |= await before.since(stage.redis, "drain", turns)
            async with open_stage(store.url, settings, consume=False, runner=answers) as stage:
                figures = await latency(stage, await stage.session(), answers, 200)
    return {
        "admit_per_s": admitted,
        "drain_per_s": drained,
        "latency_p50_ms": median(figures),
        "latency_p99_ms": quantiles(figures, n=100)[98],
        **traffic,
    }


@asynccontextmanager
async def opened(turns: int = 6000) -> AsyncIterator[Round]:
    """Yield what measures so many turns."""
    yield partial(measure, turns)


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("requests to Redis to admit a turn", "itself", "admit_requests"),
        Row("requests to Redis to claim and end a turn", "itself", "drain_requests"),
        Row("commands that Redis executes to admit a turn", "itself", "admit_executed"),
        Row("commands that Redis executes to claim and end a turn", "itself", "drain_executed"),
        Row(
            "from the message to the first line of its turn, p50",
            "itself",
            "latency_p50_ms",
            None,
            at_most(1),
            "ms",
        ),
    ),
    smallest={"turns": 600},
)

if __name__ == "__main__":
    run(BENCHMARK)
