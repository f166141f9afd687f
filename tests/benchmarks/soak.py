"""Whether a process stays as it is under load: memory and latency of the last third of a run, beside the second.

    python -m tests.benchmarks.soak [--seconds 60] [--callers 16] [--share 0.6]

First it is measured how many turns a second the process takes; then it gets a share of that, evenly, for so long. The
first third is left out: caches fill, sessions begin. Half an hour (`--seconds 1800`) is what the bounds are set for.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
from statistics import quantiles
from typing import Final

import trio

from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.benchmarks.processes import resident_kib
from tests.benchmarks.turn_load import Load, open_load

PROBE_SECONDS: Final = 3.0


async def paced(load: Load, rate: float, seconds: float) -> list[float]:
    """Take so many turns a second for so long, in sessions in turn; returns how many ms each took."""
    took: list[float] = []
    began = time.perf_counter()

    async def one(session_id: str) -> None:
        took.append(await load.turn(session_id))

    async with trio.open_nursery() as nursery:
        for number, session_id in enumerate(cycle(load.sessions)):
            late = time.perf_counter() - began
            if late >= seconds:
                break
            await trio.sleep(max(0.0, number / rate - late))
            nursery.start_soon(one, session_id)
    return took


@asynccontextmanager
async def opened(seconds: float = 60.0, callers: int = 16, share: float = 0.6) -> AsyncIterator[Round]:
    """Start everything, and find out what the process takes."""
    async with open_load(callers) as load:
        rate = share * await load.rate(min(PROBE_SECONDS, seconds))
        yield partial(measure, load, rate, seconds / 3)


async def measure(load: Load, rate: float, third: float) -> Figures:
    """Run three thirds."""
    found = {"turns/s": rate}
    for name in ("first", "second", "last"):
        took = await paced(load, rate, third)
        found |= {
            f"{name} third, p99 ms": quantiles(took, n=100)[98] if len(took) > 1 else took[0],
            f"{name} third, KiB": resident_kib(load.pid),
        }
    return found


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("memory of a process under 60% load, last third of a run", "the third before it", "last third, KiB",
            "second third, KiB", at_most(1.02)),
        Row("p99 of a turn under 60% load, last third of a run", "the third before it", "last third, p99 ms",
            "second third, p99 ms", at_most(1.1)),
    ),
    smallest={"seconds": 1.5, "callers": 2},
    rounds=1,
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK)
