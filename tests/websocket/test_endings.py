"""How sockets end: expired tokens, silent clients, a server that goes away."""

from datetime import datetime
from time import time

import orjson
import pytest
import trio
from trio_websocket import ConnectionRejected

from orchestrator.models.events.events import SystemNotification
from orchestrator.websocket import closing
from tests.support.eventually import PATIENCE
from tests.websocket.stage import Stage, open_stage


async def test_a_token_that_expires_closes_its_socket(stage: Stage) -> None:
    async with stage.client(token=stage.token(ttl=0.3)) as client:
        await client.next("session.state_update")
        assert await client.close_code() == 4003


async def test_a_renewed_token_keeps_the_socket_open(stage: Stage) -> None:
    async with stage.client(token=stage.token(ttl=0.3)) as client:
        await client.next("session.state_update")
        await client.say("system.auth", {"token": stage.token(ttl=60)}, correlation_id="renewal")
        answer = await client.next("system.authenticated")
        assert answer["correlation_id"] == "renewal"
        expires_at = datetime.fromisoformat(answer["data"]["expires_at"]).timestamp()
        assert 50 < expires_at - time() < 70
        with trio.move_on_after(1.5) as waiting:
            await client.frame()
        assert waiting.cancelled_caught
        await client.say("system.ping", {})
        await client.next("system.pong")


async def test_a_token_that_expires_sooner_than_the_last_counts_too(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("system.auth", {"token": stage.token(ttl=0.3)})
        await client.next("system.authenticated")
        assert await client.close_code() == 4003


async def test_a_client_that_answers_pings_stays(redis_url: str) -> None:
    async with open_stage(redis_url, ws_ping_interval=0.3) as stage, stage.client() as client:
        await client.next("session.state_update")
        with trio.move_on_after(1.0) as waiting:
            await client.frame()
        assert waiting.cancelled_caught
        assert len(stage.manager) == 1


@pytest.mark.parametrize(("dialect", "code"), [("nooble.v1", 1011), ("domain-action", 4500)])
async def test_a_client_that_answers_no_ping_is_closed(redis_url: str, dialect: str, code: int) -> None:
    offered = f"Sec-WebSocket-Protocol: {dialect}"
    async with open_stage(redis_url, ws_ping_interval=0.1) as stage, await stage.raw_client(offered) as stream:
        received = b""
        with trio.fail_after(PATIENCE):
            while b"\x88" not in received:
                received += await stream.receive_some()
        assert b"\x89\x00" in received, "a ping came first"
        assert code.to_bytes(2, "big") + b"no pong" in received


async def test_a_client_that_is_heard_needs_no_pong(redis_url: str) -> None:
    async with open_stage(redis_url, ws_ping_interval=0.3) as stage, await stage.raw_client() as stream:
        ping = orjson.dumps({"type": {"domain": "system", "action": "ping"}, "data": {}})
        for _ in range(10):
            await stream.send_all(b"\x81" + bytes((0x80 | len(ping),)) + bytes(4) + ping)
            await trio.sleep(0.1)
        assert len(stage.manager) == 1


async def test_a_server_that_goes_away_says_when_to_come_back(stage: Stage) -> None:
    async with stage.client() as one, stage.client() as other, trio.open_nursery() as nursery:
        clients = [one, other]
        for client in clients:
            await client.next("session.state_update")
        nursery.start_soon(stage.manager.close_all)
        waits = []
        for client in clients:
            frame = await client.next("system.reconnect")
            waits.append(frame["data"]["retry_after_ms"])
            assert await client.close_code() == 1012
        assert waits[0] != waits[1]
        assert all(500 <= wait <= 5000 for wait in waits)
    with pytest.raises(ConnectionRejected) as caught:
        async with stage.client():
            pass
    assert caught.value.status_code == 503


async def test_what_was_appended_before_comes_before_the_goodbye(stage: Stage) -> None:
    async with stage.client() as client, trio.open_nursery() as nursery:
        await client.next("session.state_update")
        await stage.log.chunk(1)
        assert (await client.next("chat.stream"))["offset"] == 1
        nursery.start_soon(stage.manager.close_all)
        assert (await client.next("system.reconnect"))["offset"] == 1


async def test_a_client_that_does_not_read_can_not_hold_up_a_stop(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSE_SECONDS", 60.0)
    async with open_stage(redis_url) as stage, stage.client() as quick, await stage.raw_client():
        await quick.next("session.state_update")
        # More than the kernels between the two take, and less than the outbox.
        for _ in range(24):
            await stage.log.append("system.notification", SystemNotification("large", "x" * 500_000))
            await quick.frame()
        with trio.fail_after(PATIENCE):
            await stage.manager.close_all(deadline=0.2)
            await stage.until_open(0)
