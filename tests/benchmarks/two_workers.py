"""What a second worker brings: turns a second of two processes on one port, beside one.

    python -m tests.benchmarks.two_workers [--seconds 6] [--callers 32]

The stand-ins of the services, Redis and the callers are processes beside, which all take their share: the figure says
something only where more cores are free than the workers take.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_least, run
from tests.benchmarks.turn_load import open_load

WARM_UP_SECONDS: Final = 1.0


@asynccontextmanager
async def opened(seconds: float = 6.0, callers: int = 32) -> AsyncIterator[Round]:
    """Yield what measures one worker and two, each over a Redis of its own."""

    async def one_round() -> Figures:
        found = {}
        for workers in (1, 2):
            async with open_load(callers, workers=workers) as load:
                await load.rate(WARM_UP_SECONDS)
                found[f"{workers} workers, turns/s"] = await load.rate(seconds)
        return found

    yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "turns a second of two workers, with cores free",
            "one worker",
            "2 workers, turns/s",
            "1 workers, turns/s",
            at_least(1.8),
        ),
    ),
    smallest={"seconds": 0.3, "callers": 2},
)

if __name__ == "__main__":
    run(BENCHMARK)
