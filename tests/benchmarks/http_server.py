"""The service's own server beside Hypercorn's: the same bare QuartTrio application on both.

    python -m tests.benchmarks.http_server [--seconds 4] [--connections 32] [--sockets 16]

A POST of JSON that is answered by JSON, frames pushed to WebSockets, and the memory of an idle WebSocket. Each server
is a process of its own; the rounds alternate between the two.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Final

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from quart import request, websocket
from quart_trio import QuartTrio

from orchestrator import server as own
from tests.benchmarks.accepting import load, post
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, run
from tests.benchmarks.processes import beside, cpu_seconds, until_stdin_ends
from tests.benchmarks.websocket_push import END, FRAME, idle, push_bare

KINDS = ("hypercorn", "own")


def application() -> QuartTrio:
    """Make the bare application."""
    app = QuartTrio("bare")

    @app.post("/bare")
    async def accept() -> tuple[dict[str, str], int]:
        body = await request.get_json()
        return {"accepted": body["session_id"]}, 202

    @app.websocket("/ws")
    async def push() -> None:
        while True:
            for _ in range(int(await websocket.receive()) - 1):
                await websocket.send(FRAME)
            await websocket.send(END.decode())

    return app


async def serve(kind: str) -> None:
    """Serve it until standard input ends."""
    config = Config() if kind == "hypercorn" else own.ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.keep_alive_timeout = 75
    config.keep_alive_max_requests = 10**9
    start = hypercorn_serve if kind == "hypercorn" else own.serve
    async with trio.open_nursery() as nursery:
        binds = await nursery.start(partial(start, application(), config))
        print(binds[0].rpartition(":")[2], flush=True)  # noqa: T201 # what the parent waits for
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


def _side(kind: str) -> AbstractContextManager[tuple[int, int]]:
    return beside("tests.benchmarks.http_server", "serve", kind)


@asynccontextmanager
async def opened(
    seconds: float = 4.0, connections: int = 32, sockets: int = 16, tokens: int = 3000, idlers: int = 500
) -> AsyncIterator[Round]:
    """Yield what measures both, each server anew for each figure."""
    requests = [post("/bare", {"session_id": "s1", "content": "hello there"})]

    async def one_round() -> Figures:
        found = {}
        for kind in KINDS:
            with _side(kind) as (port, pid):
                began = cpu_seconds(pid)
                rate = await load(f"http://127.0.0.1:{port}", requests, connections, seconds)
                found[f"{kind}, POST/s"] = rate
                found[f"{kind}, CPU us a POST"] = (cpu_seconds(pid) - began) / (rate * seconds) * 1e6
            with _side(kind) as (port, pid):
                began = cpu_seconds(pid)
                took, _ = await push_bare(port, sockets, tokens)
                found[f"{kind}, frames/s"] = sockets * tokens / took
                found[f"{kind}, CPU us a frame"] = (cpu_seconds(pid) - began) / (sockets * tokens) * 1e6
            with _side(kind) as (port, pid):
                found[f"{kind}, KiB an idle socket"] = await idle(port, pid, ["/ws"] * idlers)
        return found

    yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=tuple(
        Row(f"our server: {what}", "Hypercorn's trio worker, same application", f"own, {what}", f"hypercorn, {what}")
        for what in ("POST/s", "CPU us a POST", "frames/s", "CPU us a frame", "KiB an idle socket")
    ),
    smallest={"seconds": 0.2, "connections": 2, "sockets": 2, "tokens": 500, "idlers": 30},
)

if __name__ == "__main__":
    run(BENCHMARK, serve=serve)
