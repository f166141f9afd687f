"""The inside of Hypercorn that `websocket.wire` builds on is still what it was."""

import inspect

import pytest
import trio
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import Handshake, WSStream
from hypercorn.trio.tcp_server import TCPServer
from wsproto.connection import Connection

from orchestrator.websocket import wire
from tests.websocket.stage import Stage


def test_the_stream_has_what_the_wire_uses() -> None:
    made = inspect.getsource(WSStream.__init__)
    for attribute in ("self.closed =", "self.send =", "self.stream_id =", "self.connection:", "self.handshake:"):
        assert attribute in made
    assert "self.extensions" in inspect.getsource(Handshake.__init__)


def test_the_stream_asks_of_its_engine_nothing_that_the_wire_does_not_pass_on() -> None:
    source = inspect.getsource(WSStream)
    asked = {part.split("(")[0].split()[0].strip(":)") for part in source.split("self.connection.")[1:]}
    assert asked == {"receive_data", "events", "send", "state"}
    assert {"receive_data", "events", "send", "state"} <= set(dir(Connection))


def test_a_connection_is_dropped_by_an_event_that_closes_it_first() -> None:
    assert "self.send = send" in inspect.getsource(H11Protocol.__init__)
    closing = inspect.getsource(TCPServer.protocol_send).partition("isinstance(event, Closed)")[2]
    assert closing.split()[1:3] == ["await", "self._close()"]


async def test_the_wire_finds_the_stream(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        [connection] = stage.manager
        assert connection._wire.pings


async def test_frames_of_every_size_arrive(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        for size in (0, 125, 126, 127, 65_535, 65_536, 200_000):
            await stage.log.chunk(1, "x" * size)
            assert len((await client.next("chat.stream"))["data"]["chunk"]) == size


async def test_without_the_stream_frames_go_through_asgi(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_stream_behind", lambda _: None)
    async with stage.client() as client, trio.open_nursery() as nursery:
        await client.next("session.state_update")
        for number in range(1, 4):
            await stage.log.chunk(number)
            assert (await client.next("chat.stream"))["offset"] == number
        nursery.start_soon(stage.manager.close_all)
        await client.next("system.reconnect")
        assert await client.close_code() == 1012
