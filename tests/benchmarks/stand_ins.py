"""The services that a turn calls, as light as can be, in a process of their own.

    python -m tests.benchmarks.stand_ins

prints `ready URL`, and serves until it is ended. All services have the same URL. The answers are written beforehand; an
agent says what it is told to: `say 10 words` at once, a chunk each, and `say 500 words, 20 ms each` in that rhythm.
Each word of a paced answer is the moment at which it was sent, in microseconds of the monotonic clock, which all
processes of a machine share. All paced answers are written by one clock, one after another, so that hundreds of them
cost little.
"""

import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import orjson
import trio
from attrs import define, field, frozen

from orchestrator.clients.registry import SERVICES
from orchestrator.middleware.tokens import create_token
from orchestrator.sandbox.redis.redis_server import run_redis
from tests.benchmarks.accepting import SECRET
from tests.benchmarks.processes import cpu_seconds, serving
from tests.support.scripted_server import response, token

TICK_SECONDS: Final = 0.001
_SAY: Final = re.compile(rb"say (\d+) words(?:, (\d+) ms each)?")
_LENGTH: Final = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_AGENT: Final = {
    "agent_id": "echo",
    "version": "1",
    "name": "Echo",
    "description": "Says what it is told to.",
    "parameters": {},
    "system_prompt": "Say what you are told to.",
    "tools": [],
    "client_tools": [],
}
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
_END: Final = b"0\r\n\r\n"


def _whole(value: object) -> bytes:
    body = orjson.dumps(value)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _chunk(value: object) -> bytes:
    line = orjson.dumps(value) + b"\n"
    return b"%x\r\n%b\r\n" % (len(line), line)


_AGENT_FOUND: Final = _whole({"payload": _AGENT})
_TOOLS: Final = _whole({"payload": {"tools": []}})
_CONTEXT: Final = _whole({"payload": {"messages": [], "context_summary": "", "total_tokens": 0, "has_more": False}})
_KEPT: Final = _whole({"payload": {"message_id": "m"}})
_WORD: Final = _chunk(token("word "))


@define(eq=False)
class Paced:
    """An answer that is said word by word."""

    descriptor: int
    words: int
    every: float
    due: float
    ended: trio.Event = field(factory=trio.Event)


@define
class Clock:
    """Writes all paced answers."""

    answers: set[Paced] = field(factory=set)

    async def run(self) -> None:
        """Write what is due, every millisecond."""
        while True:
            now = time.monotonic()
            for answer in [each for each in self.answers if each.due <= now]:
                self._say(answer)
            await trio.sleep(TICK_SECONDS)

    def _say(self, answer: Paced) -> None:
        answer.words -= 1
        answer.due += answer.every
        word = _chunk(token(f"{time.monotonic_ns() // 1000} "))
        try:
            # What a reader has not taken for long is lost with its connection: the benchmark is over for it.
            os.write(answer.descriptor, word)
        except OSError:
            answer.words = 0
        if answer.words <= 0:
            self.answers.discard(answer)
            answer.ended.set()


async def serve_one(clock: Clock, stream: trio.SocketStream) -> None:
    """Answer the requests of one connection, one after another."""
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = b""
    try:
        while True:
            while b"\r\n\r\n" not in data:
                data += await _some(stream)
            head, _, data = data.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            length = int(found[1]) if found else 0
            while len(data) < length:
                data += await _some(stream)
            await _answer(clock, stream, head.partition(b"\r\n")[0], data[:length])
            data = data[length:]
    except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
        await stream.aclose()


async def _answer(clock: Clock, stream: trio.SocketStream, first: bytes, body: bytes) -> None:
    if b"/execute" in first:
        await _execute(clock, stream, body)
    elif b"/agents/" in first:
        await stream.send_all(_AGENT_FOUND)
    elif b"/tools" in first:
        await stream.send_all(_TOOLS)
    elif b"/context/" in first:
        await stream.send_all(_CONTEXT)
    elif b"/messages" in first:
        await stream.send_all(_KEPT)
    else:
        asked = orjson.loads(body)
        await stream.send_all(_whole({"payload": {"conversation_id": asked["payload"].get("conversation_id", "c")}}))


async def _execute(clock: Clock, stream: trio.SocketStream, body: bytes) -> None:
    found = _SAY.search(body)
    words, pace = (int(found[1]), int(found[2] or 0)) if found else (1, 0)
    await stream.send_all(_HEAD)
    if pace:
        paced = Paced(stream.socket.fileno(), words, pace / 1000, time.monotonic())
        clock.answers.add(paced)
        await paced.ended.wait()
    else:
        for _ in range(words):
            await stream.send_all(_WORD)
    said = response("word " * words)
    await stream.send_all(_chunk(said) + _END)


async def _some(stream: trio.SocketStream) -> bytes:
    data = bytes(await stream.receive_some(65536))
    if not data:
        raise EOFError
    return data


async def main() -> None:
    """Serve until ended."""
    clock = Clock()
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, partial(serve_one, clock), 0, host="127.0.0.1", backlog=1024)
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        nursery.start_soon(clock.run)
        sys.stdout.write(f"ready http://127.0.0.1:{listeners[0].socket.getsockname()[1]}\n")
        sys.stdout.flush()


@frozen
class Process:
    """A server in a process of its own."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Return the seconds of the processor that it has used."""
        return cpu_seconds(self.pid)


@frozen
class Platform:
    """The service, and what it stands on."""

    service: Process
    services: Process
    redis: Process
    token: str


@asynccontextmanager
async def platform(**settings: str) -> AsyncIterator[Platform]:
    """Run the service with these services; `settings` are named as in the environment, without `ORCH_`."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        async with run_redis(Path(folder), appendonly=False) as store:
            command = [sys.executable, "-m", "tests.benchmarks.stand_ins"]
            services = Process(*stack.enter_context(serving(command, os.environ)))
            given = {
                "REDIS_URL": store.url,
                "JWT__SECRET": SECRET,
                "LOG_LEVEL": "warning",
                "RATE_TENANT": "1000000",
                "RATE_USER": "1000000",
                "RATE_ADDRESS": "1000000",
                **{f"SERVICES__{name.upper()}__URL": services.url for name in SERVICES},
                **settings,
            }
            environ = {**os.environ, **{f"ORCH_{name}": value for name, value in given.items()}}
            command = [sys.executable, "-m", "orchestrator", "--bind", "127.0.0.1:0"]
            ours = Process(*stack.enter_context(serving(command, environ)))
            yield Platform(ours, services, Process(store.url, store.pid), create_token(SECRET, "acme", "ann"))


if __name__ == "__main__":
    trio.run(main)
