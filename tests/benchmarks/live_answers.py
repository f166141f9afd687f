"""How many live answers one process holds: 50 tokens a second each, and hardly one that comes late.

    python -m tests.benchmarks.live_answers [--step 10] [--most 250] [--seconds 2]

Both relay the same stand-in of Agent Execution, which says a word every 20 ms and writes into each word when it was
sent. Ours is asked by `chat.message` in the mode `stream`: admission, queue, the calls of a turn, and each word through
the log of its session in Redis. The bare one is a QuartTrio route on Hypercorn that passes on what httpx reads, from
memory, and promises nothing. Answers are added in steps, until a token of a hundred comes more than 100 ms late; what
is held is the last step before. Servers, clients and Redis are processes of their own, and share the machine.
"""

import os
import re
import selectors
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from statistics import median, quantiles
from typing import Final

import click
import trio
from attrs import define, field

from tests.benchmarks.accepting import post, sessions
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_least, run
from tests.benchmarks.processes import serving
from tests.benchmarks.stand_ins import Platform, Process, platform

PACE_MS = 20
LATE_MS = 100.0
SETTLE_SECONDS = 1.0
"""After a step, before its tokens count."""
WORDS = 20_000
_MOMENT = re.compile(rb"\b\d{9,16}(?= )")
RELAY = """
import os, httpx, trio, hypercorn.trio
from hypercorn.config import Config
from quart import request
from quart_trio import QuartTrio
app = QuartTrio("relay")
app.config["RESPONSE_TIMEOUT"] = None
upstream = os.environ["UPSTREAM"] + "/api/v1/agents/echo/execute"
client = httpx.AsyncClient(timeout=60, trust_env=False, limits=httpx.Limits(max_connections=2000))
@app.post("/relay")
async def relay():
    body = await request.get_json()
    async def pieces():
        async with client.stream("POST", upstream, json={"payload": {"query": body["content"]}}) as answer:
            async for piece in answer.aiter_bytes():
                yield piece
    return pieces(), 200, {"content-type": "text/event-stream"}
config = Config()
config.bind = ["127.0.0.1:0"]
config.accesslog = None
async def main():
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(hypercorn.trio.serve, app, config)
        print("ready", binds[0], flush=True)
trio.run(main)
"""


@define
class Readers:
    """Clients that only note how late each token is; one thread serves all of them."""

    url: str
    waiting: selectors.BaseSelector = field(factory=selectors.DefaultSelector)
    open: list[socket.socket] = field(factory=list)
    rests: dict[socket.socket, bytes] = field(factory=dict)

    def ask(self, request: bytes) -> None:
        """Begin another answer."""
        host, port = self.url.removeprefix("http://").split(":")
        client = socket.create_connection((host, int(port)))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(request)
        client.setblocking(False)
        self.waiting.register(client, selectors.EVENT_READ)
        self.open.append(client)
        self.rests[client] = b""

    def read(self, seconds: float) -> list[float]:
        """Read for so long; returns how late each token was, in ms."""
        late: list[float] = []
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self.waiting.select(left):
                client = key.fileobj
                assert isinstance(client, socket.socket)
                piece = client.recv(262_144)
                if not piece:
                    raise RuntimeError("an answer ended before its time")
                # A token may be cut in two; what follows the last blank is kept for the next time.
                whole, blank, rest = (self.rests[client] + piece).rpartition(b" ")
                self.rests[client] = rest[-4096:]
                now = time.monotonic_ns() / 1e6
                late += [now - int(moment) / 1000 for moment in _MOMENT.findall(whole + blank)]
        return late

    def close(self) -> None:
        """Leave all answers."""
        for client in self.open:
            client.close()
        self.waiting.close()


def ramp(
    server: Process, requests: Callable[[int], bytes], step: int, most: int, seconds: float
) -> list[dict[str, float]]:
    """Add answers until they come late; returns a row for each step."""
    readers, rows = Readers(server.url), []
    try:
        for count in range(step, most + 1, step):
            for number in range(count - step, count):
                readers.ask(requests(number))
                readers.read(0.02)
            readers.read(SETTLE_SECONDS)
            used, began = server.cpu(), time.monotonic()
            late = readers.read(seconds)
            share = (server.cpu() - used) / (time.monotonic() - began)
            rows.append(
                {
                    "answers": count,
                    "tokens_per_s": len(late) / seconds,
                    "p50_ms": median(late),
                    "p99_ms": quantiles(late, n=100)[98],
                    "cpu": share,
                    "cpu_us_per_token": share * seconds / len(late) * 1e6,
                }
            )
            click.echo(
                f"{count:4} answers  {rows[-1]['tokens_per_s']:7.0f} tokens/s  late p50 {rows[-1]['p50_ms']:6.1f} ms"
                f"  p99 {rows[-1]['p99_ms']:6.1f} ms  CPU {share:4.2f}, {rows[-1]['cpu_us_per_token']:5.0f} us a token",
                err=True,
            )
            expected = count * 1000 / PACE_MS
            if rows[-1]["p99_ms"] > LATE_MS or rows[-1]["tokens_per_s"] < 0.9 * expected:
                break
    finally:
        readers.close()
    return rows


def held(rows: list[dict[str, float]]) -> float:
    """Return how many answers were held."""
    return max((row["answers"] for row in rows if row["p99_ms"] <= LATE_MS), default=0)


def measure_ours(stack: Platform, step: int, most: int, seconds: float) -> list[dict[str, float]]:
    """Add live answers of the service."""
    ids = sessions(stack.service.url, stack.token, most)
    said = {"content": f"say {WORDS} words, {PACE_MS} ms each", "mode": "stream", "timeout_ms": 120_000}
    headers = f"Authorization: Bearer {stack.token}\r\n"
    requests = [post("/api/v1/chat.message", {"session_id": one, **said}, headers) for one in ids]
    return ramp(stack.service, requests.__getitem__, step, most, seconds)


def measure_bare(services: Process, step: int, most: int, seconds: float) -> list[dict[str, float]]:
    """Add live answers of the bare relay."""
    with serving([sys.executable, "-c", RELAY], {**os.environ, "UPSTREAM": services.url}) as started:
        relay = Process(*started)
        request = post("/relay", {"content": f"say {WORDS} words, {PACE_MS} ms each"})
        return ramp(relay, lambda _: request, step, most, seconds)


@asynccontextmanager
async def opened(step: int = 10, most: int = 250, seconds: float = 2.0) -> AsyncIterator[Round]:
    """Have each round start servers of its own: what it leaves open ends with them."""

    async def one_round() -> Figures:
        async with platform(CONCURRENCY="2000") as stack:
            bare = await trio.to_thread.run_sync(measure_bare, stack.services, step, most, seconds)
            ours = await trio.to_thread.run_sync(measure_ours, stack, step, most, seconds)
        return {
            "bare relay, answers held": held(bare),
            "ours, answers held": held(ours),
            "bare relay, CPU us a token": bare[0]["cpu_us_per_token"],
            "ours, CPU us a token": ours[0]["cpu_us_per_token"],
            "bare relay, CPU us a token at the end": bare[-1]["cpu_us_per_token"],
            "ours, CPU us a token at the end": ours[-1]["cpu_us_per_token"],
        }

    yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "live answers of 50 tokens a second, of which 99 in 100 come within 100 ms, one process",
            "a bare QuartTrio relay of the same upstream by httpx, from memory",
            "ours, answers held",
            "bare relay, answers held",
            at_least(0.5),
        ),
    ),
    smallest={"step": 1, "most": 1, "seconds": 0.3},
)

if __name__ == "__main__":
    run(BENCHMARK)
