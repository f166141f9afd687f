"""Many sockets of one process: what an idle one takes beside a bare one, and how fast an event reaches a whole session.

    python -m tests.benchmarks.many_sockets --sockets 5000 --followers 1000 --json FILE

The service runs as it does in production, in a process of its own over a real Redis; the clients answer pings.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import define, field

from tests.benchmarks.websocket_push import resident_kib, server
from tests.end_to_end.stack import Stack, open_stack

PING: Final = b"\x89\x00"
PONG: Final = b"\x8a\x80\x00\x00\x00\x00"
EVENT: Final = b'"state_update"'
AT_ONCE: Final = 32
"""Handshakes that are under way."""
SOCKETS_OF_A_SESSION: Final = 10
SETTINGS: Final = {
    "rate_tenant": "1000000",
    "rate_user": "1000000",
    "rate_address": "0",
    "address_connections": "10000",
    "ws_connections": "10000",
}


@define(eq=False)
class Client:
    """A client that answers pings, and notes when an event comes."""

    stream: trio.SocketStream
    came: float = 0.0
    events: int = 0
    arrived: trio.Event = field(factory=trio.Event)

    async def read(self) -> None:
        """Read, for ever."""
        while chunk := await self.stream.receive_some(65_536):
            if PING in chunk:
                await self.stream.send_all(PONG)
            if EVENT in chunk:
                self.came = trio.current_time()
                self.events += 1
                self.arrived.set()
        raise AssertionError("the server closed")


async def connect(port: int, path: str, token: str) -> trio.SocketStream:
    """Open a socket."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await stream.receive_some(4096)
    assert b" 101 " in answer, answer
    return stream


@asynccontextmanager
async def held(port: int, paths: list[str], token: str) -> AsyncIterator[list[Client]]:
    """Hold sockets open inside the block."""
    clients: list[Client] = []
    limit = trio.CapacityLimiter(AT_ONCE)
    async with trio.open_nursery() as reading:

        async def hold(path: str) -> None:
            async with limit:
                clients.append(Client(await connect(port, path, token)))
            reading.start_soon(clients[-1].read)

        async with trio.open_nursery() as opening:
            for path in paths:
                opening.start_soon(hold, path)
        yield clients
        reading.cancel_scope.cancel()
    for client in clients:
        await trio.aclose_forcefully(client.stream)


async def idle(port: int, pid: int, paths: list[str], token: str) -> float:
    """Return the KiB that an idle socket takes."""
    async with held(port, paths[:50], token):  # what the first sockets load is no cost of the others
        await trio.sleep(0.5)
        before = resident_kib(pid)
        async with held(port, paths[50:], token):
            await trio.sleep(2.0)
            return (resident_kib(pid) - before) / (len(paths) - 50)


async def tell_all(stack: Stack, followers: int, rounds: int) -> list[float]:
    """Return the seconds from each event's request to each of a session's sockets."""
    session, token = await stack.session(), stack.token()
    port, took = int(stack.node.url.rpartition(":")[2]), []
    async with stack.client() as http, held(port, [f"/ws/v1/chat/{session}"] * followers, token) as clients:
        await http.post("/api/v1/chat.message", json={"session_id": session, "content": "hello", "mode": "wait"})
        await trio.sleep(1.0)
        for number in range(rounds):
            for client in clients:
                client.arrived = trio.Event()
            begun = trio.current_time()
            action = ("pause", "resume")[number % 2]
            answer = await http.put(f"/api/v1/session.{action}/{session}")
            assert answer.status_code == 200, answer.text
            for client in clients:
                with trio.fail_after(30):
                    await client.arrived.wait()
            took += [client.came - begun for client in clients]
    return took


async def measure(sockets: int, followers: int, rounds: int) -> dict[str, float]:
    """Run everything."""
    found: dict[str, float] = {}
    with server("bare") as (port, pid):
        found["bare, KiB an idle socket"] = await idle(port, pid, ["/ws"] * sockets, "none")
    with tempfile.TemporaryDirectory() as folder:
        async with open_stack(Path(folder)) as stack:
            node = await stack.start(**SETTINGS)
            sessions = [await stack.session() for _ in range(max(1, sockets // SOCKETS_OF_A_SESSION))]
            paths = [f"/ws/v1/chat/{sessions[number % len(sessions)]}" for number in range(sockets)]
            port = int(node.url.rpartition(":")[2])
            found["ours, KiB an idle socket"] = await idle(port, node.process.pid, paths, stack.token())
            found["beyond bare, KiB"] = found["ours, KiB an idle socket"] - found["bare, KiB an idle socket"]
            took = sorted(await tell_all(stack, followers, rounds))
    found["one event to all, p50 s"] = statistics.median(took)
    found["one event to all, p99 s"] = took[int(len(took) * 0.99)]
    found["one event to all, longest s"] = took[-1]
    return found


def main() -> None:
    """Read the command line, measure, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=5000)
    parser.add_argument("--followers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = trio.run(measure, given.sockets, given.followers, given.rounds)
    for name, value in found.items():
        print(f"{name:34} {value:12,.3f}")  # noqa: T201 # the report
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
