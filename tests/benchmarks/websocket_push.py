"""Tokens pushed to sockets, and the memory of an idle one, beside a bare QuartTrio socket.

    python -m tests.benchmarks.websocket_push [--sockets 16] [--tokens 3000] [--idlers 500]

Both servers are processes of their own, on Hypercorn's trio worker. The bare one sends ready-made frames of the same
size in a loop, from memory, and promises nothing. Ours takes each token from the session's log in Redis (which is
written meanwhile, by another process), through the pump, in order and without gap, bounded for slow readers. "own"
gives every socket a session of its own; "shared" lets all follow one. Rates are tokens a second that reached clients,
and tokens a second of the server's CPU time: on a small machine Redis, writer, clients and server share the cores.
"""

import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import hypercorn.trio
import redis
import trio
from hypercorn.config import Config
from quart import websocket
from quart_trio import QuartTrio

from orchestrator.middleware.tokens import create_token
from orchestrator.models.events.events import ChatStream
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.events.frames import make_body
from orchestrator.store.keys import Keys
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_least, run
from tests.benchmarks.processes import beside, cpu_seconds, resident_kib, until_stdin_ends
from tests.websocket.stage import SECRET, open_stage, session_of

MODULE: Final = "tests.benchmarks.websocket_push"
KEYS: Final = Keys()
CHUNK: Final = "token"
END: Final = b'"is_final":true'
FRAME: Final = "x" * 440
FOREVER: Final = 3600.0
BURST: Final = 8
"""So many tokens of a session are appended by one call, to keep the writer out of the measure."""
APPEND: Final = """
for offset = tonumber(ARGV[4]), tonumber(ARGV[5]) do
  local body = offset == tonumber(ARGV[6]) and ARGV[3] or ARGV[2]
  redis.call('HSET', KEYS[1], 'offset', offset)
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '0-' .. offset, 'e', 'e', 'n', 'chat.stream', 'b', body)
  redis.call('PUBLISH', ARGV[1], offset .. ' e chat.stream\\n' .. body)
end
"""


# The servers


async def serve_ours(redis_url: str, sockets: str) -> None:
    """Serve the sockets of `b0`, `b1`…"""
    async with open_stage(redis_url, FOREVER) as stage:
        for number in range(int(sockets)):
            stage.sessions.keep(session_of(f"b{number}"))
        print(stage.port, flush=True)  # noqa: T201 # what the parent waits for
        await until_stdin_ends()


async def serve_bare() -> None:
    """Serve sockets that push N frames when they are told N."""
    app = QuartTrio("bare")

    @app.websocket("/ws")
    async def push() -> None:
        while True:
            for _ in range(int(await websocket.receive()) - 1):
                await websocket.send(FRAME)
            await websocket.send(END.decode())

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    async with trio.open_nursery() as nursery:
        server: Any = app
        binds = await nursery.start(partial(hypercorn.trio.serve, server, config))
        print(binds[0].rpartition(":")[2], flush=True)  # noqa: T201 # what the parent waits for
        await until_stdin_ends()
        nursery.cancel_scope.cancel()


# The clients


@asynccontextmanager
async def connect(port: int, path: str) -> AsyncIterator[trio.SocketStream]:
    """Open a socket as a client that only counts."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        token = create_token(SECRET, "acme", "ada")
        await stream.send_all(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += await stream.receive_some(65_536)
        assert b" 101 " in answer, answer
        yield stream


async def read_to_the_end(stream: trio.SocketStream, frames: list[int]) -> None:
    """Read until the last token has come; notes how many frames there were."""
    tail, count = b"", 0
    while END not in tail:
        chunk = await stream.receive_some(262_144)
        assert chunk, "the server closed"
        count += chunk.count(b'"sequence_number"')  # one that is cut in two is not worth the trouble
        tail = tail[-64:] + chunk
    frames.append(count)


async def drive(port: int, paths: list[str], start: Callable[[list[trio.SocketStream]], Any]) -> tuple[float, int]:
    """Connect everybody, start, and wait for the end; returns the seconds that it took, and how many frames came."""
    frames: list[int] = []
    async with trio.open_nursery() as nursery:
        streams: list[trio.SocketStream] = [await nursery.start(_hold, port, path) for path in paths]
        began = time.perf_counter()
        async with trio.open_nursery() as reading:
            for stream in streams:
                reading.start_soon(read_to_the_end, stream, frames)
            await start(streams)
        took = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return took, sum(frames)


async def _hold(port: int, path: str, *, task_status: trio.TaskStatus[trio.SocketStream]) -> None:
    async with connect(port, path) as stream:
        task_status.started(stream)
        await trio.sleep_forever()


# What is measured


async def push_bare(port: int, sockets: int, tokens: int) -> tuple[float, int]:
    """Let the bare server push."""
    text = str(tokens).encode()

    async def start(streams: list[trio.SocketStream]) -> None:
        for stream in streams:
            await stream.send_all(b"\x81" + bytes((0x80 | len(text),)) + bytes(4) + text)

    return await drive(port, ["/ws"] * sockets, start)


async def push_ours(port: int, url: str, sessions: list[str], sockets: int, tokens: int) -> tuple[float, int]:
    """Write tokens to the logs, as fast as the server takes them."""
    with redis.Redis.from_url(url) as client:
        for session in sessions:
            client.delete(KEYS.events("acme", session))
            client.hset(KEYS.session("acme", session), mapping={"epoch": "e", "offset": 0})
    paths = [f"/ws/v1/chat/{sessions[number % len(sessions)]}" for number in range(sockets)]

    async def start(_: list[trio.SocketStream]) -> None:
        writer = [sys.executable, "-m", MODULE, "--part", "write", url, str(tokens), *sessions]
        await trio.run_process(writer)

    return await drive(port, paths, start)


def write(url: str, count: str, *sessions: str) -> None:
    """Append tokens to the logs of sessions in turn, as the scripts do."""
    tokens = int(count)
    bodies = [
        make_body("chat.stream", ChatStream("m1", 1, CHUNK, is_final=final), tenant_id="acme", correlation_id="c")
        for final in (False, True)
    ]
    with redis.Redis.from_url(url) as client:
        append = client.register_script(APPEND)
        for first in range(1, tokens + 1, BURST):
            last = min(first + BURST - 1, tokens)
            with client.pipeline(transaction=False) as pipe:
                for session in sessions:
                    keys = [KEYS.session("acme", session), KEYS.events("acme", session)]
                    args = [KEYS.event_channel("acme", session), *bodies, first, last, tokens]
                    append(keys, args, client=pipe)
                pipe.execute()


async def idle(port: int, pid: int, paths: list[str]) -> float:
    """Return the KiB that an idle socket takes."""
    async with trio.open_nursery() as nursery:
        for path in paths[:20]:
            await nursery.start(_hold, port, path)
        await trio.sleep(0.5)
        before = resident_kib(pid)
        for path in paths[20:]:
            await nursery.start(_hold, port, path)
        await trio.sleep(1.0)
        taken = (resident_kib(pid) - before) / (len(paths) - 20)
        nursery.cancel_scope.cancel()
    return taken


@asynccontextmanager
async def opened(sockets: int = 16, tokens: int = 3000, idlers: int = 500) -> AsyncIterator[Round]:
    """Start Redis."""
    with tempfile.TemporaryDirectory() as folder:
        async with run_redis(Path(folder), appendonly=False) as store:
            yield partial(measure, store.url, sockets, tokens, idlers)


async def measure(url: str, sockets: int, tokens: int, idlers: int) -> Figures:
    """Run everything once, bare and ours in turn."""
    found: dict[str, float] = {}

    def note(name: str, pid: int, began: float, outcome: tuple[float, int]) -> None:
        took, frames = outcome
        found[f"{name}, tokens a frame"] = sockets * tokens / (frames or sockets * tokens)
        found[f"{name}, tokens/s"] = sockets * tokens / took
        found[f"{name}, tokens per CPU second"] = sockets * tokens / max(cpu_seconds(pid) - began, 0.01)

    with beside(MODULE, "serve_bare") as (port, pid):
        began = cpu_seconds(pid)
        note("bare", pid, began, await push_bare(port, sockets, tokens))
    with beside(MODULE, "serve_bare") as (port, pid):
        found["bare, KiB an idle socket"] = await idle(port, pid, ["/ws"] * idlers)
    for name, sessions in (("own", [f"b{number}" for number in range(sockets)]), ("shared", ["b0"])):
        with beside(MODULE, "serve_ours", url, str(sockets)) as (port, pid):
            began = cpu_seconds(pid)
            note(name, pid, began, await push_ours(port, url, sessions, sockets, tokens))
    with redis.Redis.from_url(url) as client:
        for number in range(idlers):
            client.hset(KEYS.session("acme", f"b{number}"), mapping={"epoch": "e", "offset": 0})
    with beside(MODULE, "serve_ours", url, str(idlers)) as (port, pid):
        paths = [f"/ws/v1/chat/b{number}" for number in range(idlers)]
        found["own, KiB an idle socket"] = await idle(port, pid, paths)
    return found


_BARE: Final = "a bare QuartTrio socket that sends from memory"
BENCHMARK: Final = Benchmark(
    opened,
    rows=(
        Row("tokens pushed a second, a session each", _BARE, "own, tokens/s", "bare, tokens/s", at_least(0.5)),
        Row("tokens pushed a second, one session", _BARE, "shared, tokens/s", "bare, tokens/s", at_least(0.5)),
        Row("tokens pushed per CPU second, a session each", _BARE, "own, tokens per CPU second",
            "bare, tokens per CPU second"),
        Row("memory of an idle socket without the rest of the service", "a bare QuartTrio socket",
            "own, KiB an idle socket", "bare, KiB an idle socket"),
    ),
    smallest={"sockets": 2, "tokens": 200, "idlers": 30},
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK, serve_ours=serve_ours, serve_bare=serve_bare, write=write)
