"""The server's end of a WebSocket, beneath ASGI."""

import pytest
import trio

from orchestrator.websocket import wire
from tests.websocket.stage import Stage


async def test_the_wire_finds_what_the_server_offers(stage: Stage) -> None:
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


async def test_on_another_server_frames_go_through_asgi(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "server_socket", lambda _: None)
    async with stage.client() as client, trio.open_nursery() as nursery:
        await client.next("session.state_update")
        for number in range(1, 4):
            await stage.log.chunk(number)
            assert (await client.next("chat.stream"))["offset"] == number
        nursery.start_soon(stage.manager.close_all)
        await client.next("system.reconnect")
        assert await client.close_code() == 1012
