"""The shared connection beside redis.asyncio and coredis on trio: XADD of 200 bytes by 1 to 1,000 callers.

    python -m tests.benchmarks.redis_transport [--seconds 1.0] [--callers 1,8,32,256,1000]

Each figure is a process of its own on the same Redis, started for the run; the clients take turns (A B C A B C …). All
write into one stream, over loopback TCP. What each side promises: ours and coredis share connections among callers,
redis.asyncio is given one for each (hiredis parses for it, too); ours alone bounds what is unsent, keeps a deadline on
every command, and says of a lost one whether it was sent.
"""

import importlib.util
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio
from attrs import asdict, frozen

from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.redis.connection import open_redis
from tests.benchmarks.harness import Benchmark, Bound, Figures, Round, Row, at_least, run

CALLERS: Final = (1, 8, 32, 256, 1000)
CLIENTS: Final = ("ours", "redis.asyncio", "coredis")
FIELDS: Final[dict[Any, Any]] = {"payload": b"x" * 200}
STREAM: Final = "benchmark"
WARM_UP: Final = 5
"""Commands that each caller gives before anything is counted: by then it has its connection."""

Add = Callable[[], Awaitable[Any]]


@frozen
class Figure:
    """What one run has shown."""

    client: str
    callers: int
    per_second: float
    cpu_us: float
    """CPU time of the client's process for a command, in microseconds."""
    commands_a_send: float | None


@frozen
class Stretch:
    """Commands and CPU time between two moments."""

    commands: int
    seconds: float
    cpu_seconds: float

    def figure(self, client: str, callers: int, commands_a_send: float | None = None) -> Figure:
        """Return it as rates."""
        cpu_us = self.cpu_seconds / self.commands * 1e6
        return Figure(client, callers, self.commands / self.seconds, cpu_us, commands_a_send)


class Meter:
    """Counts commands, from the moment when every caller has warmed up.

    Args:
        callers: how many there are.
        seconds: how long to measure.
    """

    def __init__(self, callers: int, seconds: float) -> None:
        self._cold = callers
        self._seconds = seconds
        self._begin = self._cpu = 0.0
        self._commands = 0

    async def call(self, add: Add) -> None:
        """Be one caller: command after command until the time is up."""
        for _ in range(WARM_UP):
            await add()
        self._cold -= 1
        if not self._cold:
            self._begin, self._cpu = time.perf_counter(), time.process_time()
        while self._cold:
            await add()
        end = self._begin + self._seconds
        while time.perf_counter() < end:
            await add()
            self._commands += 1

    def stretch(self) -> Stretch:
        """Return what was measured."""
        return Stretch(self._commands, time.perf_counter() - self._begin, time.process_time() - self._cpu)


async def measure_ours(url: str, callers: int, seconds: float) -> Figure:
    """Measure the shared connection."""
    async with open_redis(url, command_timeout=60.0) as redis:
        stretch = await run_on_trio(lambda: redis.xadd(STREAM, FIELDS), callers, seconds)
        return stretch.figure("ours", callers, redis.counters.commands / redis.counters.sends)


async def measure_coredis(url: str, callers: int, seconds: float) -> Figure:
    """Measure coredis, as its documentation opens it."""
    import coredis  # noqa: PLC0415 - only the process that measures it needs it

    async with coredis.Redis.from_url(url) as redis:
        stretch = await run_on_trio(lambda: redis.xadd(STREAM, field_values=FIELDS), callers, seconds)
        return stretch.figure("coredis", callers)


async def run_on_trio(add: Add, callers: int, seconds: float) -> Stretch:
    """Run so many callers on trio."""
    meter = Meter(callers, seconds)
    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(meter.call, add)
    return meter.stretch()


def measure_redis_asyncio(url: str, callers: int, seconds: float) -> Figure:
    """Measure redis.asyncio, which runs on an event loop of its own."""
    import asyncio  # noqa: PLC0415 - the peer's event loop, in the peer's process only

    from redis.asyncio import Redis  # noqa: PLC0415 - the peer runs in a process of its own

    async def run() -> Stretch:
        async with Redis.from_url(url, max_connections=callers + 1) as redis:
            meter = Meter(callers, seconds)
            await asyncio.gather(*(meter.call(lambda: redis.xadd(STREAM, FIELDS)) for _ in range(callers)))
            return meter.stretch()

    return asyncio.run(run()).figure("redis.asyncio", callers)


def measure(client: str, url: str, callers: int, seconds: float) -> Figure:
    """Measure one client in this process."""
    if client == "redis.asyncio":
        return measure_redis_asyncio(url, callers, seconds)
    return trio.run(measure_ours if client == "ours" else measure_coredis, url, callers, seconds)


@asynccontextmanager
async def opened(seconds: float = 1.0, callers: str = "1,8,32,256,1000") -> AsyncIterator[Round]:
    """Start the Redis that all of them use."""
    clients = [name for name in CLIENTS if name != "coredis" or importlib.util.find_spec("coredis") is not None]
    with TemporaryDirectory() as directory:
        async with run_redis(Path(directory), appendonly=False) as server, open_redis(server.url) as redis:

            async def one_round() -> Figures:
                found = {}
                for number in callers.split(","):
                    for client in clients:
                        await redis.delete(STREAM)
                        figure = await _measure_apart(client, server.tcp_url, number, seconds)
                        found[f"{client}, {number} callers, commands/s"] = figure.per_second
                        found[f"{client}, {number} callers, CPU us"] = figure.cpu_us
                return found

            yield one_round


async def _measure_apart(client: str, url: str, callers: str, seconds: float) -> Figure:
    command = [sys.executable, "-m", "tests.benchmarks.redis_transport", "--part", "be_client"]
    with trio.fail_after(60 + seconds):
        done = await trio.run_process([*command, client, url, callers, str(seconds)], capture_stdout=True)
    return Figure(**json.loads(done.stdout))


def be_client(client: str, url: str, callers: str, seconds: str) -> None:
    """Measure one client, as a process of its own."""
    sys.stdout.write(json.dumps(asdict(measure(client, url, int(callers), float(seconds)))))


def _rows(what: str, unit: str, reach: dict[str, Bound]) -> tuple[Row, ...]:
    return tuple(
        Row(f"XADD of 200 bytes, {number} callers: {what}", peer, f"ours, {number} callers, {unit}",
            f"{peer}, {number} callers, {unit}", reach.get(peer))
        for number in CALLERS
        for peer in CLIENTS[1:]
    )  # fmt: skip


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        *_rows("commands a second", "commands/s", {"redis.asyncio": at_least(4), "coredis": at_least(8)}),
        *_rows("CPU of the client", "CPU us", {}),
    ),
    smallest={"seconds": 0.05, "callers": "1,8"},
)

if __name__ == "__main__":
    run(BENCHMARK, be_client=be_client)
