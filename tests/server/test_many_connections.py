"""Many connections, opened, half-opened, left and refused: descriptors and memory come back to where they were.

    MANY_CONNECTIONS=10000 pytest tests/server/test_many_connections.py

opens so many instead of a few hundred; it takes some minutes, and descriptors for them.
"""

import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
import trio
from attrs import frozen

from tests.server.stage import TEXT, Client, close_frame, connect, frame, handshake, request

COUNT: Final = int(os.environ.get("MANY_CONNECTIONS", "300"))
SPARE: Final = 2500
"""Descriptors that the test and the server need beside the connections."""
SPREAD_KIB: Final = max(4096, 2 * COUNT)
"""By which memory may differ from round to round."""
SERVER: Final = """
import sys, trio
from orchestrator import server
from tests.server.stage import App

async def main():
    config = server.ServerConfig()
    config.bind = ["127.0.0.1:0"]
    app = App()
    app.decide.set()
    limits = server.Limits(address_connections=10**6, head_seconds=600)
    async with trio.open_nursery() as nursery:
        print((await nursery.start(server.serve, app, config, limits))[0], flush=True)
trio.run(main)
"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")


@frozen
class Served:
    """The server, in a process of its own."""

    pid: int
    port: int

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    process = await trio.lowlevel.open_process([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            url = (await process.stdout.receive_some()).decode().strip()
        yield Served(process.pid, int(url.rpartition(":")[2]))
    finally:
        process.kill()
        await process.wait()


async def opened(client: Client) -> None:
    """A WebSocket that is used, and stays open until the client leaves."""
    await client.send(handshake("/echo"))
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    await client.send(frame(TEXT, b"hello"))
    assert await client.frame() == (TEXT, b"hello")


async def closed(client: Client) -> None:
    """A WebSocket that is closed in order."""
    await opened(client)
    await client.send(close_frame())
    await client.rest()


async def kept(client: Client) -> None:
    """A connection on which a request was answered."""
    await client.send(request("/echo"))
    assert await client.answer() == (200, b"GET ")


async def half_opened(client: Client) -> None:
    """Half a head."""
    await client.send(handshake()[:50])


async def left(client: Client) -> None:
    """A client that leaves before the answer."""
    await client.send(request("/stream"))
    client.reset()


async def refused(client: Client) -> None:
    """A handshake that is refused."""
    await client.send(handshake("/refuse") + frame(TEXT, b"early"))
    assert (await client.answer())[0] == 401


async def malformed(client: Client) -> None:
    """What is no request."""
    await client.send(b"\x16\x03\x01 nonsense\r\n\r\n")
    assert (await client.answer())[0] == 400


STAYING: Final = (opened, kept, half_opened)
LEAVING: Final = (closed, left, refused, malformed)


async def crowd(served: Served, way: Callable[[Client], Awaitable[None]], descriptors: int) -> None:
    """Let many clients come, each in a way, and leave together."""
    clients: list[Client] = []
    busy = trio.Semaphore(50)

    async def come() -> None:
        async with busy:
            # Ports that were used just now are not free again for a while: they come from many addresses.
            client = await connect(served.port, source=f"127.0.1.{len(clients) % 250 + 1}")
            clients.append(client)
            await way(client)

    async with trio.open_nursery() as nursery:
        for _ in range(COUNT):
            nursery.start_soon(come)
    if way in STAYING:
        await until(lambda: served.descriptors() >= descriptors + COUNT)
    for client in clients:
        with suppress(trio.BrokenResourceError):
            await client.stream.aclose()
    await until(lambda: served.descriptors() <= descriptors)


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not holds():  # noqa: ASYNC110 - another process: nothing tells of its descriptors
            await trio.sleep(0.02)


async def test_descriptors_and_memory_come_back_to_where_they_were() -> None:
    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < COUNT + SPARE:
        if hard < COUNT + SPARE:
            pytest.skip(f"{COUNT} connections need {COUNT + SPARE} descriptors, and the system allows {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (COUNT + SPARE, hard))
    try:
        await look_at_rounds()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


async def look_at_rounds() -> None:
    async with serving() as served:
        before = served.descriptors()
        memory = []
        for _ in range(3):
            for way in (*STAYING, *LEAVING):
                await crowd(served, way, before)
            memory.append(served.memory_kib())
        async with await connect(served.port, request("/echo")) as client:
            assert await client.answer() == (200, b"GET ")
        # The first round fills what the process keeps for the next ones.
        assert memory[2] - memory[1] < SPREAD_KIB
