"""How many turns that wait for a model are in hand at once, and what a turn takes beside them.

    python -m tests.benchmarks.paced_backlog [--queued 3000] [--seconds 8]

As `noisy_neighbour`, but each answer of the queue is said by its model at 20 tokens a second, so its turn costs the
process little and takes seconds: such turns shall fill all slots that a tenant may have, with slots that follow the
event loop as without.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from statistics import mean, median, quantiles
from typing import Final

import httpx
import redis
import trio

from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_least, at_most, run
from tests.benchmarks.noisy_neighbour import WARM_UP, Service, set_state
from tests.benchmarks.stand_ins import platform

PACED: Final = "say 60 words, 50 ms each"
FILLS_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.1
_IN_HAND: Final = re.compile(r"^\w+_tasks_in_hand ([\d.]+)$", re.MULTILINE)


async def watch(service: Service, found: list[float]) -> None:
    """Note how many tasks are in hand, for ever."""
    async with httpx.AsyncClient(base_url=service.url, trust_env=False) as client:
        while True:
            await trio.sleep(LOOK_SECONDS)
            found += map(float, _IN_HAND.findall((await client.get("/metrics")).text))


async def measure(name: str, queued: int, seconds: float, *, adaptive: bool) -> Figures:
    """Measure one way, with servers of its own: what it leaves in the queue ends with them."""
    settings = {
        "ADAPTIVE_CONCURRENCY": str(adaptive).lower(),
        "METRICS_PUBLIC": "true",
        "QUEUE_LENGTH": "1000000",
        "SESSION_QUEUE_LENGTH": "10000",
    }
    in_hand: list[float] = []
    async with platform(**settings) as stack:
        with redis.Redis.from_url(stack.redis.url) as client:
            service = Service(stack.service.url, stack.service.pid, partial(set_state, client))
            service.set_state("paused")
            await service.fill(queued, PACED)
            await service.take_turns(0.0, WARM_UP)
            alone = await service.take_turns(seconds / 4, WARM_UP)
            service.set_state("active")
            await trio.sleep(FILLS_SECONDS)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch, service, in_hand)
                beside = await service.take_turns(seconds, WARM_UP)
                nursery.cancel_scope.cancel()
    return {
        f"{name}, in hand": mean(in_hand),
        f"{name}, alone p50 ms": median(alone),
        f"{name}, alone p99 ms": quantiles(alone, n=100)[98],
        f"{name}, beside p50 ms": median(beside),
        f"{name}, beside p99 ms": quantiles(beside, n=100)[98],
    }


@asynccontextmanager
async def opened(queued: int = 3000, seconds: float = 8.0) -> AsyncIterator[Round]:
    """Have each round start servers of its own."""

    async def one_round() -> Figures:
        return {
            **await measure("adaptive", queued, seconds, adaptive=True),
            **await measure("all slots", queued, seconds, adaptive=False),
        }

    yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "turns in hand whose models say 20 tokens a second",
            "all of `ORCH_CONCURRENCY` at once",
            "adaptive, in hand",
            "all slots, in hand",
            at_least(0.95),
        ),
        Row(
            "a turn beside 3,000 queued turns of 20 tokens a second, p50",
            "the same turn alone",
            "adaptive, beside p50 ms",
            "adaptive, alone p50 ms",
            at_most(3),
        ),
        Row(
            "a turn beside 3,000 queued turns of 20 tokens a second, p99",
            "the same turn alone",
            "adaptive, beside p99 ms",
            "adaptive, alone p99 ms",
            at_most(6),
        ),
    ),
    smallest={"queued": 150, "seconds": 0.3},
)

if __name__ == "__main__":
    run(BENCHMARK)
