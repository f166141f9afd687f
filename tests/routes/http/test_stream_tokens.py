"""Streams end with the token that they were asked for with, and tickets open them."""

import time
from functools import partial
from typing import Any, Final

import orjson
import pytest
from attrs import evolve

from orchestrator.config.settings import JwtSettings
from orchestrator.models.events.events import ChatStream
from tests.routes.public.test_turn_stream import KEY, sent, streaming
from tests.support.credentials import SECRET, SETTINGS, bearer
from tests.support.house import House
from tests.support.recorders.chat import ChatRecorder
from tests.support.served import service

CHAT: Final = "/api/v1/chat.message"
FUTURE_MS: Final = 10**14
STRICT: Final = evolve(SETTINGS, jwt=JwtSettings(secret=SECRET, leeway=0.0))


async def ending(stream: Any) -> tuple[str, str]:
    """Read what is said last, and that nothing follows."""
    block = await stream.block()
    assert block["event"] == "system.error"
    assert "id" not in block
    error = orjson.loads(block["data"])["data"]["error"]
    assert await stream.end() == b""
    return error["code"], error["message"]


async def test_a_stream_ends_when_its_token_expires() -> None:
    house = House(settings=STRICT)
    session_id = await house.session()
    began = time.monotonic()
    async with streaming(house, session_id, KEY | bearer(ttl=0.6)) as stream:
        await sent(house)
        assert await ending(stream) == ("ORCH_AUTH_001", "The token has expired.")
    assert 0.3 < time.monotonic() - began < 20
    assert house.log.followers == 0


@pytest.mark.parametrize("named", [{"user_id": "ann"}, {"tenant_id": "acme"}, {"user_id": "ann", "tenant_id": "acme"}])
async def test_a_stream_ends_at_once_when_its_token_is_revoked(named: dict[str, str]) -> None:
    house = House()
    session_id = await house.session()
    async with streaming(house, session_id, KEY) as stream:
        accepted = await sent(house)
        house.revocations.add(user_id="bob", before_ms=FUTURE_MS)
        house.log.emit("chat.stream", ChatStream(accepted.message_id, 1, "Hello"))
        assert await stream.names(1) == ["chat.stream"]
        house.revocations.add(**named, before_ms=FUTURE_MS)
        assert await ending(stream) == ("ORCH_AUTH_001", "The token has been revoked.")
    assert house.log.followers == 0


async def test_a_stream_whose_events_are_gone_ends_when_its_token_is_revoked() -> None:
    house = House()
    house.log.cut = True
    session_id = await house.session()
    async with streaming(house, session_id, KEY) as stream:
        await sent(house)
        house.revocations.add(user_id="ann", before_ms=FUTURE_MS)
        assert (await ending(stream))[0] == "ORCH_AUTH_001"


async def test_a_token_that_is_revoked_while_its_stream_opens_is_401(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    session_id = await house.session()
    take = ChatRecorder.send

    async def take_and_revoke(*args: Any, **more: Any) -> Any:
        admitted = await take(*args, **more)
        house.revocations.add(user_id="ann", before_ms=FUTURE_MS)
        return admitted

    monkeypatch.setattr(ChatRecorder, "send", take_and_revoke)
    body = {"session_id": session_id, "content": "hi", "mode": "stream"}
    assert (await house.call("POST", CHAT, body)).fault == (401, "ORCH_AUTH_001", "")


async def test_a_ticket_opens_one_stream_in_its_session(redis_url: str) -> None:
    async with service(redis_url, consuming=True) as client:
        session_id = await client.session()
        ask = partial(client.call, "POST", headers={})
        body = {"session_id": session_id, "content": "hi", "mode": "stream"}
        ticket = await _ticket(client, session_id)
        reply = await ask(f"{CHAT}?ticket={ticket}", body)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
        assert b"event: chat.status_update" in reply.raw
        assert (await ask(f"{CHAT}?ticket={ticket}", body)).fault == (401, "ORCH_AUTH_001", "")


async def test_a_ticket_opens_nothing_else(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id, other = await client.session(), await client.session()
        ask = partial(client.call, "POST", headers={})
        body = {"session_id": session_id, "content": "hi", "mode": "stream"}
        for changed in ({"session_id": other}, {"mode": "wait"}, {"mode": "async"}):
            ticket = await _ticket(client, session_id)
            assert (await ask(f"{CHAT}?ticket={ticket}", {**body, **changed})).fault == (401, "ORCH_AUTH_001", "")
        for bad in ("", "x", "x" * 64):
            assert (await ask(f"{CHAT}?ticket={bad}", body)).status == 401
        ticket = await _ticket(client, session_id)
        assert (await client.call("GET", f"/api/v1/session.list?ticket={ticket}", headers={})).status == 401
        narrow = await _ticket(client, session_id, permissions=["session:read"])
        assert (await ask(f"{CHAT}?ticket={narrow}", body)).fault == (403, "ORCH_AUTH_003", "")
        await client.process.services.revocations._store.add(jti="", user_id="ann", tenant_id="")
        workflow = {"workflow_id": "w", "input": {}, "mode": "stream"}
        assert (await ask(f"/api/v1/workflow.execute?ticket={ticket}", workflow)).status == 401


async def _ticket(client: Any, session_id: str, **token: Any) -> str:
    reply = await client.call("POST", f"/api/v1/session.ticket/{session_id}", {}, headers=bearer(**token))
    assert reply.status == 201
    return str(reply.data["ticket"])
