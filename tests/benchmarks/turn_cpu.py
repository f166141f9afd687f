"""What a streamed turn costs the process, beside a request to a bare JSON route of the same framework and server.

    python -m tests.benchmarks.turn_cpu [--turns 400] [--callers 32]

Ours is asked by `chat.message` in the mode `stream`, and answers with the turn's events as `text/event-stream`:
admission, queue, the calls to four services (question, agent's configuration, context and tools, execution, answer),
ten words that come in ten pieces at once, history and end. The bare route parses JSON and answers 202. Both are
processes of their own, on the same machine, in rounds in turn; the services are stand-ins in another process, which
answer at once. CPU is that of the process alone, without Redis, which is counted beside.
"""

import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.benchmarks.accepting import BARE, post, sessions
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.benchmarks.processes import serving
from tests.benchmarks.stand_ins import Process, platform

WORDS: Final = 10
REQUESTS: Final = 4
"""Bare requests for each turn: they are cheap, and the clock of processes is coarse."""


async def ask(url: str, requests: Callable[[int], bytes], count: int, callers: int, last: bytes) -> float:
    """Send requests on as many connections as there are callers; returns the seconds that all of them took.

    Args:
        url: of the server.
        requests: gives each caller its request.
        count: of requests, of all callers together.
        callers: how many ask, each again when it has its answer.
        last: what an answer ends with.
    """
    host, port = url.removeprefix("http://").split(":")

    async def caller(number: int) -> None:
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            for _ in range(number, count, callers):
                await stream.send_all(requests(number))
                answer = b""
                while not answer.endswith(last):
                    piece = await stream.receive_some(65536)
                    answer += piece
                    if not piece or not answer.startswith(b"HTTP/1.1 20") or b"system.error" in answer:
                        raise RuntimeError(answer.decode())

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for number in range(callers):
            nursery.start_soon(caller, number)
    return time.perf_counter() - began


@asynccontextmanager
async def opened(turns: int = 400, callers: int = 32) -> AsyncIterator[Round]:
    """Start both servers."""
    async with platform() as stack:
        with serving([sys.executable, "-c", BARE], os.environ) as (url, pid):
            bare = Process(url, pid)
            authorization = f"Authorization: Bearer {stack.token}\r\n"
            ids = sessions(stack.service.url, stack.token, callers)
            said = {"content": f"say {WORDS} words", "mode": "stream"}
            asked = [post("/api/v1/chat.message", {"session_id": one, **said}, authorization) for one in ids]
            plain = post("/bare", {"session_id": ids[0], **said}, authorization)

            async def one_round() -> Figures:
                began = bare.cpu()
                await ask(bare.url, lambda _: plain, turns * REQUESTS, callers, b"}\n")
                request = (bare.cpu() - began) / (turns * REQUESTS)
                began, redis_began = stack.service.cpu(), stack.redis.cpu()
                took = await ask(stack.service.url, asked.__getitem__, turns, callers, b"0\r\n\r\n")
                return {
                    "bare request, CPU ms": request * 1000,
                    "streamed turn, CPU ms": (stack.service.cpu() - began) / turns * 1000,
                    "streamed turn, CPU ms of Redis": (stack.redis.cpu() - redis_began) / turns * 1000,
                    "streamed turns/s": turns / took,
                }

            yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row(
            "CPU of the process for a streamed turn of ten words",
            "a request to a bare JSON route, same framework and server",
            "streamed turn, CPU ms",
            "bare request, CPU ms",
            at_most(6),
        ),
    ),
    smallest={"turns": 4, "callers": 2},
    warm_up=1,
)

if __name__ == "__main__":
    run(BENCHMARK)
