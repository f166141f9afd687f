"""One event to all the sockets of a session, beside a bare QuartTrio app that sends a frame to as many sockets.

    python -m tests.benchmarks.one_to_many [--sockets 1000] [--events 20]

Both servers are processes of their own. The bare one, on Hypercorn's trio worker, has its sockets wait for a frame and
sends it as soon as there is one; it promises nothing. Ours takes the event from Redis, through the pump, in order and
without gap, bounded for slow readers. Events alternate, so that both meet the same machine. The clients are one
process beside, which takes its share of the time: what is told is the time until a frame is read, and the CPU time of
the server.
"""

import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import hypercorn.trio
import redis
import trio
from attrs import define, field
from hypercorn.config import Config
from quart import websocket
from quart_trio import QuartTrio

from orchestrator.middleware.tokens import create_token
from orchestrator.models.events.events import ChatStream
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.events.frames import make_body
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.benchmarks.processes import beside, cpu_seconds, until_stdin_ends
from tests.benchmarks.raw_sockets import RawSockets, raw_sockets
from tests.benchmarks.websocket_push import APPEND, FRAME, KEYS
from tests.websocket.stage import SECRET

MARK: Final = b'"sequence_number"'
SETTLE_SECONDS: Final = 0.2


# The bare server


async def serve_bare() -> None:
    """Serve sockets that wait for a frame; what comes on `/tell` has one sent to all of them."""
    app = QuartTrio("bare")
    waiting: set[trio.MemorySendChannel[str]] = set()
    frame = MARK.decode() + FRAME

    @app.websocket("/ws")
    async def follow() -> None:
        await websocket.accept()
        told, frames = trio.open_memory_channel[str](256)
        waiting.add(told)
        try:
            async for text in frames:
                await websocket.send(text)
        finally:
            waiting.discard(told)

    @app.websocket("/tell")
    async def tell() -> None:
        while True:
            await websocket.receive()
            for told in waiting:
                told.send_nowait(frame)

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(partial(hypercorn.trio.serve, app, config))
        print(binds[0].rpartition(":")[2], flush=True)  # noqa: T201 # what the parent waits for
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


# What is measured


@define
class Side:
    """A server, its sockets, and what has been found of it."""

    pid: int
    sockets: RawSockets
    tell: Callable[[int], object]
    """Has it send its event of that number to all."""
    half: list[float] = field(factory=list)
    """Seconds until half of the sockets had an event, by round."""
    nearly_all: list[float] = field(factory=list)
    """The same, until 99 of 100 had it."""
    cpu: list[float] = field(factory=list)
    """Seconds of the server's CPU, by round."""

    def run(self, number: int) -> None:
        """Tell all, once."""
        begun, used = time.perf_counter(), cpu_seconds(self.pid)
        self.tell(number)
        came = [moment - begun for moment in self.sockets.until_all_have(MARK)]
        self.sockets.rest(SETTLE_SECONDS)
        self.cpu.append(cpu_seconds(self.pid) - used)
        self.half.append(came[len(came) // 2])
        self.nearly_all.append(came[int(len(came) * 0.99)])

    def forget(self) -> None:
        """Have what was measured so far not count."""
        for figures in (self.half, self.nearly_all, self.cpu):
            figures.clear()

    def found(self, name: str) -> dict[str, float]:
        """Return the medians of the events; of the CPU the mean, since the system counts it in steps."""
        return {
            f"{name}, p50 ms": statistics.median(self.half) * 1e3,
            f"{name}, p99 ms": statistics.median(self.nearly_all) * 1e3,
            f"{name}, CPU ms": statistics.mean(self.cpu) * 1e3,
        }


def bare(opened: ExitStack, sockets: int) -> Side:
    """Start the bare server, and open its sockets."""
    port, pid = opened.enter_context(beside("tests.benchmarks.one_to_many", "serve_bare"))
    followers = opened.enter_context(raw_sockets(port, ["/ws"] * sockets, "none"))
    teller = opened.enter_context(raw_sockets(port, ["/tell"], "none"))
    return Side(pid, followers, lambda _: teller.send(0, b"now"))


def ours(opened: ExitStack, url: str, sockets: int) -> Side:
    """Start our server, and open its sockets."""
    client = opened.enter_context(redis.Redis.from_url(url))
    client.delete(KEYS.events("acme", "b0"))
    client.hset(KEYS.session("acme", "b0"), mapping={"epoch": "e", "offset": 0})
    port, pid = opened.enter_context(beside("tests.benchmarks.websocket_push", "serve_ours", url, "1"))
    token = create_token(SECRET, "acme", "ada")
    followers = opened.enter_context(raw_sockets(port, ["/ws/v1/chat/b0"] * sockets, token))
    followers.rest(1.0)  # their greetings
    append = client.register_script(APPEND)
    body = make_body("chat.stream", ChatStream("m1", 1, "token"), tenant_id="acme", correlation_id="c")

    def tell(number: int) -> None:
        keys = [KEYS.session("acme", "b0"), KEYS.events("acme", "b0")]
        append(keys, [KEYS.event_channel("acme", "b0"), body, body, number, number, number])

    return Side(pid, followers, tell)


def alternate(url: str, sockets: int, events: int) -> Figures:
    """Tell all of one server, then all of the other, again and again; the first time does not count."""
    with ExitStack() as opened:
        sides = {"bare": bare(opened, sockets), "ours": ours(opened, url, sockets)}
        for number in range(1, events + 2):
            for side in sides.values():
                side.run(number)
            if number == 1:
                for side in sides.values():
                    side.forget()
        return {key: value for name, side in sides.items() for key, value in side.found(name).items()}


@asynccontextmanager
async def opened(sockets: int = 1000, events: int = 20) -> AsyncIterator[Round]:
    """Start Redis."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as store:

            async def one_round() -> Figures:
                return await trio.to_thread.run_sync(alternate, store.url, sockets, events)

            yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=tuple(
        Row(f"one event to all sockets of a session: {what}", "a bare QuartTrio app, from memory", f"ours, {what}",
            f"bare, {what}", at_most(1))
        for what in ("p50 ms", "p99 ms", "CPU ms")
    ),
    smallest={"sockets": 10, "events": 1},
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK, serve_bare=serve_bare)
