"""Sockets of revoked tokens."""

from functools import partial

import pytest
from trio_websocket import ConnectionRejected

from tests.websocket.stage import Stage, open_stage

FUTURE_MS = 10**14


@pytest.mark.parametrize("named", [{"user_id": "ada"}, {"tenant_id": "acme"}, {"user_id": "ada", "tenant_id": "acme"}])
async def test_open_sockets_of_what_is_revoked_are_closed(stage: Stage, named: dict[str, str]) -> None:
    async with stage.client() as one, stage.client() as other:
        for client in (one, other):
            await client.next("session.state_update")
        stage.revocations.add(user_id="bob", before_ms=FUTURE_MS)
        await one.say("system.ping", {})
        await one.next("system.pong")
        stage.revocations.add(**named, before_ms=FUTURE_MS)
        assert [await client.close_code() for client in (one, other)] == [4003, 4003]


async def test_no_socket_opens_with_a_revoked_token(stage: Stage) -> None:
    stage.revocations.add(user_id="ada", before_ms=FUTURE_MS)
    with pytest.raises(ConnectionRejected) as caught:
        async with stage.client():
            pass
    assert caught.value.status_code == 401


async def test_a_ticket_of_a_revoked_token_opens_no_socket(stage: Stage) -> None:
    stage.tickets.give("abc", "s1")
    stage.revocations.add(user_id="ada", before_ms=FUTURE_MS)
    with pytest.raises(ConnectionRejected) as caught:
        async with stage.client("/ws/v1/chat/s1?ticket=abc", anonymous=True):
            pass
    assert caught.value.status_code == 401


async def test_a_token_revoked_while_its_socket_opens_is_noticed(stage: Stage) -> None:
    stage.sessions.on_connected = partial(stage.revocations.add, user_id="ada", before_ms=FUTURE_MS)
    async with stage.client() as client:
        assert await client.close_code() == 4003


async def test_an_address_that_comes_too_often_is_refused_before_its_token_is_looked_at(redis_url: str) -> None:
    async with open_stage(redis_url, rate_address=0.1, rate_burst=1.0) as stage:
        async with stage.client() as client:
            await client.next("session.state_update")
        with pytest.raises(ConnectionRejected) as caught:
            async with stage.client(token="forged"):
                pass
        assert caught.value.status_code == 429
