"""The shared connection beside redis.asyncio and coredis on trio: XADD of 200 bytes by 1 to 1,000 callers.

    python -m tests.benchmarks.redis_transport [--rounds 3] [--seconds 1.0] [--json PATH]

Each figure is a process of its own on the same Redis, started for the run; the clients take turns (A B C A B C …). All
write into one stream, over loopback TCP. What each side promises: ours and coredis share connections among callers,
redis.asyncio is given one for each (hiredis parses for it, too); ours alone bounds what is unsent, keeps a deadline on
every command, and says of a lost one whether it was sent.
"""

import argparse
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio
from attrs import asdict, frozen

from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.redis.connection import open_redis

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


async def measure_all(rounds: int, seconds: float) -> list[Figure]:
    """Measure every client with every number of callers, in turns, each in a process of its own."""
    figures: list[Figure] = []
    with TemporaryDirectory() as directory:
        async with run_redis(Path(directory), appendonly=False) as server, open_redis(server.url) as redis:
            for callers in CALLERS:
                for _ in range(rounds):
                    for client in CLIENTS:
                        await redis.delete(STREAM)
                        figures.append(await _measure_apart(client, server.tcp_url, callers, seconds))
    return figures


async def _measure_apart(client: str, url: str, callers: int, seconds: float) -> Figure:
    command = [sys.executable, "-m", __spec__.name, "--client", client, "--url", url]
    command += ["--callers", str(callers), "--seconds", str(seconds)]
    with trio.fail_after(60 + seconds):
        done = await trio.run_process(command, capture_stdout=True)
    return Figure(**json.loads(done.stdout))


def summarise(figures: list[Figure]) -> list[dict[str, Any]]:
    """Return the medians and ratios, a row for each number of callers."""
    rows = []
    for callers in CALLERS:
        rates, costs = (
            {
                client: median(
                    getattr(figure, name) for figure in figures if (figure.client, figure.callers) == (client, callers)
                )
                for client in CLIENTS
            }
            for name in ("per_second", "cpu_us")
        )
        sends = [figure.commands_a_send for figure in figures if figure.callers == callers and figure.commands_a_send]
        ratios = {client: rates["ours"] / rates[client] for client in CLIENTS[1:]}
        rows.append(
            {
                "callers": callers,
                "per_second": rates,
                "cpu_us": costs,
                "ratio": ratios,
                "commands_a_send": median(sends),
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as text."""
    lines = ["callers   ours/s  redis.asyncio/s  coredis/s   ratios       CPU µs a command       commands a send"]
    for row in rows:
        rates, ratio, cost = row["per_second"], row["ratio"], row["cpu_us"]
        lines.append(
            f"{row['callers']:7} {rates['ours']:8,.0f} {rates['redis.asyncio']:16,.0f} {rates['coredis']:10,.0f}"
            f"   {ratio['redis.asyncio']:4.1f} {ratio['coredis']:5.1f}"
            f"   {cost['ours']:6.1f} {cost['redis.asyncio']:6.1f} {cost['coredis']:6.1f}"
            f"   {row['commands_a_send']:8.1f}"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each client, of which the median counts")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a run")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--client", choices=CLIENTS, help="measure this one alone, and print its figure as JSON")
    parser.add_argument("--url", help="the Redis for --client")
    parser.add_argument("--callers", type=int, default=32, help="concurrent callers for --client")
    options = parser.parse_args()
    if options.client:
        sys.stdout.write(json.dumps(asdict(measure(options.client, options.url, options.callers, options.seconds))))
        return
    figures = trio.run(measure_all, options.rounds, options.seconds)
    rows = summarise(figures)
    sys.stdout.write(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "runs": [asdict(figure) for figure in figures]}, indent=2))


if __name__ == "__main__":
    main()
