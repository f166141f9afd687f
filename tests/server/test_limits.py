"""What a connection, an address and all of them may take; and that the rest is served meanwhile."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import MutableMapping
from typing import Any

import pytest
import trio

from orchestrator.server import Limits, descriptors
from tests.server.stage import TEXT, Stage, close_frame, connect, frame, open_stage, request

Logs = list[MutableMapping[str, Any]]
SMALL = 2048


def events(logs: Logs) -> list[str]:
    return [entry["event"] for entry in logs]


# Reading and closing


@pytest.mark.parametrize("path", ["/large", "/push"])
async def test_a_client_that_does_not_read_is_dropped(path: str, logs: Logs) -> None:
    async with open_stage(Limits(write_seconds=0.3)) as stage:
        opened = (
            stage.open_websocket(path, window=SMALL) if path == "/push" else stage.open(request(path), window=SMALL)
        )
        async with await opened:
            await stage.until_idle()
        await stage.assert_serves()
    assert events(logs) == ["connection.unread"]


async def test_a_client_that_reads_slowly_gets_everything() -> None:
    async with (
        open_stage(Limits(write_seconds=0.5)) as stage,
        await stage.open(request("/large", "close"), window=16 * SMALL) as client,
    ):
        await client.head()
        for _ in range(40):
            await client.more()
            await trio.sleep(0.02)
        client.received.clear()
        assert len(await client.rest()) > 8 * 2**20


@pytest.mark.parametrize("sent", [b"", request("/echo"), request("/echo")[:9], b"\r\n"])
async def test_a_connection_whose_client_has_closed_is_closed_at_once(stage: Stage, sent: bytes) -> None:
    for _ in range(50):
        async with await stage.open(sent) as client:
            if sent == request("/echo"):
                await client.answer()
    with trio.fail_after(30):
        await stage.until_idle()


@pytest.mark.parametrize("path", ["/late", "/stream"])
async def test_an_application_hears_of_it_when_its_client_has_left(stage: Stage, path: str) -> None:
    async with await stage.open(request(path)) as client:
        await client.send(request("/echo"))
        while not stage.app.running:
            await trio.lowlevel.checkpoint()
    await stage.until_idle()
    assert list(stage.app.disconnects) == [path]


async def test_an_application_that_does_not_read_bounds_what_is_taken_in(stage: Stage) -> None:
    async with await stage.open_websocket("/deaf") as client:
        sent = 0
        with trio.move_on_after(0.5):
            while True:
                await client.stream.send_all(frame(TEXT, b"x" * 50_000, mask=bytes(4)))
                sent += 1
        assert sent < 1000
        stage.app.decide.set()
    await stage.until_idle()


async def test_a_client_that_does_not_answer_a_close_frame_is_closed() -> None:
    async with open_stage(Limits(close_seconds=0.1, linger_seconds=0.1)) as stage:
        client = await stage.open_websocket("/close")
        stage.app.decide.set()
        assert (await client.frame())[1] == b"\x0f\xa0enough"
        await stage.until_idle()


async def test_a_close_frame_of_both_sides_at_once_ends_the_socket(stage: Stage) -> None:
    for _ in range(20):
        stage.app.decide = trio.Event()
        async with await stage.open_websocket("/close") as client:
            stage.app.decide.set()
            await client.send(close_frame(1001))
            assert (await client.frame())[1][:2] in {b"\x03\xe9", b"\x0f\xa0"}
            await client.rest()
        await stage.until_idle()


# Numbers


async def test_an_address_may_hold_so_many_connections_and_no_more() -> None:
    async with open_stage(Limits(connections=100, address_connections=2, spared_seconds=0)) as stage:
        busy = [await stage.open(request("/late")) for _ in range(2)]
        while stage.app.running < 2:
            await trio.lowlevel.checkpoint()
        async with await stage.open(request("/echo")) as client:
            assert await client.answer() == (429, b"The address has too many open connections.")
            await client.rest()
        await stage.assert_serves()
        stage.app.decide.set()
        for client in busy:
            assert (await client.answer())[0] == 200
        await stage.assert_serves("127.0.0.1")


async def test_the_connection_of_an_address_that_is_idle_for_longest_makes_room() -> None:
    async with open_stage(Limits(connections=100, address_connections=2, spared_seconds=0)) as stage:
        first, second = [await stage.open(request("/echo")) for _ in range(2)]
        for client in (first, second):
            await client.answer()
        await stage.assert_serves("127.0.0.1")
        assert await first.rest() == b""
        await second.send(request("/echo"))
        assert await second.answer() == (200, b"GET ")


async def test_addresses_that_are_not_counted_are_not_bounded() -> None:
    limits = Limits(connections=100, address_connections=1)
    async with open_stage(limits, count_by=lambda _: None) as stage:
        clients = [await stage.open(request("/late")) for _ in range(5)]
        while stage.app.running < 5:
            await trio.lowlevel.checkpoint()
        stage.app.decide.set()
        for client in clients:
            assert await client.answer() == (200, b"late")


async def test_one_address_never_takes_all_connections() -> None:
    async with open_stage(Limits(connections=10)) as stage:
        for _ in range(8):
            await stage.open(request("/late"))
        while stage.app.running < 5:
            await trio.lowlevel.checkpoint()
        await stage.assert_serves()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert stage.app.running == 5


async def test_where_there_are_too_many_the_one_that_is_idle_for_longest_makes_room(logs: Logs) -> None:
    async with open_stage(Limits(connections=3, address_connections=3, spared_seconds=0)) as stage:
        clients = [await stage.open(request("/echo")) for _ in range(3)]
        for client in clients:
            await client.answer()
        await stage.assert_serves()
        assert await clients[0].rest() == b""
        for client in clients:
            await client.stream.aclose()
        await stage.until_idle()
    assert events(logs) == ["connections.exhausted", "connections.available"]


async def test_where_all_are_busy_the_next_waits(logs: Logs) -> None:
    async with open_stage(Limits(connections=2, address_connections=2)) as stage:
        busy = [await stage.open(request("/late")) for _ in range(2)]
        while stage.app.running < 2:
            await trio.lowlevel.checkpoint()
        async with await stage.open(request("/echo"), source="127.0.0.2") as client:
            with trio.move_on_after(0.1) as waiting:
                await client.more()
            assert waiting.cancelled_caught
            stage.app.decide.set()
            assert (await busy[0].answer())[0] == 200
            assert await client.answer() == (200, b"GET ")
    assert events(logs)[0] == "connections.exhausted"


async def test_a_want_of_descriptors_is_an_alarm_and_passes(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    accept, refusals = trio.SocketListener.accept, iter([errno.EMFILE, errno.ENFILE, errno.ENOMEM])

    async def failing(self: trio.SocketListener) -> trio.SocketStream:
        number = next(refusals, None)
        if number is not None:
            raise OSError(number, os.strerror(number))
        return await accept(self)

    monkeypatch.setattr(trio.SocketListener, "accept", failing)
    async with open_stage() as stage:
        await stage.assert_serves()
        await stage.until_idle()
    assert events(logs) == ["connections.exhausted", "connections.available"]
    assert logs[0]["reason"] == "Too many open files"


LONE = """
import sys, trio
from orchestrator import server
from tests.server.stage import App, answer

class Opens(App):
    async def http_files(self, scope, receive, send):
        files = [open("/dev/null") for _ in range(8)]
        await answer(send, 200, b"%d" % len(files))
        for file in files:
            file.close()

async def main():
    config = server.ServerConfig()
    config.bind = ["127.0.0.1:0"]
    async with trio.open_nursery() as nursery:
        limits = server.Limits(spared_seconds=0)
        print((await nursery.start(server.serve, Opens(), config, limits))[0], flush=True)
trio.run(main)
"""


async def test_descriptors_stay_for_what_is_no_connection() -> None:
    command = ["sh", "-c", f"ulimit -n 64 && exec {sys.executable} -c '{LONE}'"]
    async with trio.open_nursery() as nursery:
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        with trio.fail_after(30):
            url = (await process.stdout.receive_some()).decode().strip()
            port = int(url.rpartition(":")[2])
            clients = [await connect(port, request("/echo")) for _ in range(200)]
            for client in clients[-20:]:
                assert await client.answer() == (200, b"GET ")
            clients.append(await connect(port, request("/files")))
            assert await clients[-1].answer() == (200, b"8")
            for client in clients:
                await client.stream.aclose()
        process.kill()
        logged = b"".join([chunk async for chunk in process.stderr])
        await process.wait()
        nursery.cancel_scope.cancel()
    assert logged.count(b"connections.exhausted") <= 1
    assert b"Traceback" not in logged


def test_a_fourth_of_the_descriptors_is_no_connections() -> None:
    assert descriptors.reserved(1000) == 250
    assert descriptors.reserved(1_000_000) == 1024


def test_a_process_asks_for_the_descriptors_that_it_needs() -> None:
    code = "from orchestrator.server.descriptors import *; raise_limit(100); print(descriptors())"
    for limit, expected in (("ulimit -Sn 64; ulimit -Hn 4096", 1124), ("ulimit -Sn 64; ulimit -Hn 500", 500)):
        command = ["sh", "-c", f"{limit}; exec {sys.executable} -c '{code}'"]
        assert int(subprocess.check_output(command, timeout=30)) == expected
    assert descriptors.descriptors() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
