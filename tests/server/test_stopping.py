"""How the server stops: in order, in time, and at once where that is asked for."""

import pytest
import trio

from orchestrator.server import Limits
from tests.server.stage import Stage, open_stage, request

SMALL = 2048


async def until_running(stage: Stage, count: int = 1) -> None:
    while stage.app.running < count:
        await trio.lowlevel.checkpoint()


async def test_a_stop_lets_what_is_being_answered_end(stage: Stage) -> None:
    async with await stage.open(request("/late")) as client:
        await until_running(stage)
        stage.stop.set()
        await trio.sleep(0.3)
        stage.app.decide.set()
        assert b"connection: close" in (await client.head()).lower()
        assert await client.rest() == b"late"
    await stage.ended.wait()


async def test_a_stop_takes_no_more_connections(stage: Stage) -> None:
    stage.stop.set()
    await stage.ended.wait()
    with pytest.raises(OSError, match="refused"):
        await stage.open()


async def test_what_is_on_its_way_when_the_server_stops_is_answered(stage: Stage) -> None:
    async with await stage.open(request("/echo")) as idle:
        await idle.answer()
        stage.stop.set()
        async with await stage.open(request("/echo")) as fresh:
            await idle.send(request("/echo"))
            for client in (idle, fresh):
                assert b"connection: close" in (await client.head()).lower()
                assert await client.rest() == b"GET "
    await stage.ended.wait()


@pytest.mark.parametrize("sent", [b"", request("/echo"), request("/echo")[:10]])
async def test_a_client_that_asks_for_nothing_does_not_hold_up_a_stop(stage: Stage, sent: bytes) -> None:
    async with await stage.open(sent) as client:
        if sent == request("/echo"):
            await client.answer()
        await trio.testing.wait_all_tasks_blocked(0.01)
        stage.stop.set()
        with trio.fail_after(30):
            await stage.ended.wait()
        assert not await client.more() or client.received.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("path", ["/large", "/push"])
async def test_a_client_that_does_not_read_holds_up_a_stop_no_longer_than_is_allowed(path: str) -> None:
    async with open_stage(Limits(write_seconds=60), config={"graceful_timeout": 0.3}) as stage:
        opened = (
            stage.open_websocket(path, window=SMALL) if path == "/push" else stage.open(request(path), window=SMALL)
        )
        async with await opened:
            await until_running(stage)
            await trio.testing.wait_all_tasks_blocked(0.05)
            stage.stop.set()
            with trio.fail_after(30):
                await stage.ended.wait()


@pytest.mark.parametrize("path", ["/large", "/push"])
async def test_a_client_that_does_not_read_does_not_hold_up_a_stop_at_once(path: str) -> None:
    async with open_stage(Limits(write_seconds=60), config={"graceful_timeout": 60}) as stage:
        opened = (
            stage.open_websocket(path, window=SMALL) if path == "/push" else stage.open(request(path), window=SMALL)
        )
        async with await opened:
            await until_running(stage)
            await trio.testing.wait_all_tasks_blocked(0.05)
            stage.scope.cancel()
            with trio.fail_after(30):
                await stage.ended.wait()
