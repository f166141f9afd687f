"""The events of a session as a stream that an `EventSource` can follow."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final

import pytest

from orchestrator.models.tasks.task import Lane
from orchestrator.store.keys import Keys
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.eventually import eventually
from tests.support.served import Client, service
from tests.support.streams import Stream, open_stream

KEYS: Final = Keys()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with service(redis_url) as client:
        yield client


def following(
    client: Client, session: str, query: str = "", headers: dict[str, str] | None = None
) -> AbstractAsyncContextManager[Stream]:
    sent = bearer() if headers is None else headers
    return open_stream(client.app, "GET", f"/api/v1/session.stream/{session}{query}", sent)


async def ticket_of(client: Client, session: str) -> str:
    reply = await client.call("POST", f"/api/v1/session.ticket/{session}", {})
    return str(reply.data["ticket"])


async def test_a_stream_begins_with_the_state_and_has_every_event_of_the_session_in_order(client: Client) -> None:
    session = await client.session()
    async with following(client, session) as stream:
        place, name, frame = await stream.event()
        assert (name, frame["data"]["session_id"], frame["data"]["recovered"]) == (
            "session.state_update",
            session,
            True,
        )
        assert place == f"{frame['epoch']}-{frame['offset']}"
        accepted = (await client.say(session)).data
        events = [await stream.event() for _ in range(2)]
        assert [(name, frame["offset"]) for _, name, frame in events] == [
            ("chat.status_update", 2),
            ("session.state_update", 3),
        ]
        assert events[0][0] == f"{frame['epoch']}-2"
        assert events[0][2]["data"]["task_id"] == accepted["task_id"]
    hub = client.process.services.event_hub
    await eventually("no one follows", lambda: not hub.followers("acme", session))


async def test_last_event_id_resumes_by_header_or_query(client: Client) -> None:
    session = await client.session()
    async with following(client, session) as stream:
        place = (await stream.event())[0]
    await client.say(session)
    async with following(client, session, headers={**bearer(), "Last-Event-ID": place}) as stream:
        assert await stream.names(3) == ["session.state_update", "chat.status_update", "session.state_update"]
    ticket = await ticket_of(client, session)
    async with following(client, session, f"?ticket={ticket}&last_event_id={place}", {"Accept": "*/*"}) as stream:
        assert (await stream.event())[2]["data"]["recovered"] is True
        assert await stream.names(2) == ["chat.status_update", "session.state_update"]


async def test_a_turn_that_runs_is_seen_from_its_beginning(client: Client) -> None:
    session = await client.session()
    accepted = (await client.say(session)).data
    async with following(client, session) as stream:
        assert (await stream.event())[2]["data"]["active_task_id"] == accepted["task_id"]
        names = await stream.names(1)
    assert names == ["chat.status_update"]


async def test_where_events_are_lost_a_snapshot_comes_in_their_place(client: Client) -> None:
    session = await client.session()
    await client.say(session)
    async with following(client, session, "?last_event_id=another-1") as stream:
        assert (await stream.event())[2]["data"]["recovered"] is False
        place, name, frame = await stream.event()
        assert (name, place) == ("session.snapshot", f"{frame['epoch']}-{frame['offset']}")


async def test_a_ticket_opens_the_stream_of_its_session_once(client: Client) -> None:
    session, other = await client.session(), await client.session()
    ticket = await ticket_of(client, session)
    async with following(client, session, f"?ticket={ticket}", {"Accept": "*/*"}) as stream:
        assert stream.status == 200
        assert await stream.names(1) == ["session.state_update"]
    again = await client.call("GET", f"/api/v1/session.stream/{session}?ticket={ticket}", headers={"Accept": "*/*"})
    assert again.status == 401
    ticket = await ticket_of(client, session)
    for path in (f"session.stream/{other}", f"session.get/{session}"):
        refused = await client.call("GET", f"/api/v1/{path}?ticket={ticket}", headers={"Accept": "*/*"})
        assert refused.status == 401


async def test_a_stream_ends_with_its_session_and_a_closed_one_is_refused(client: Client) -> None:
    session = await client.session()
    async with following(client, session) as stream:
        await stream.event()
        assert (await client.call("DELETE", f"/api/v1/session.close/{session}")).status == 200
        assert (await stream.event())[2]["data"]["state"] == "TERMINATED"
        assert await stream.end() == b""
    refused = await client.call("GET", f"/api/v1/session.stream/{session}")
    assert (refused.status, refused.error["code"]) == (410, "ORCH_SESS_001")


async def test_a_stream_ends_when_its_token_is_revoked(client: Client) -> None:
    session = await client.session()
    async with following(client, session) as stream:
        await stream.event()
        await client.call("POST", "/internal/v1/token.revoke", {"user_id": "ann"}, keyed(ADMIN_KEY))
        assert (await stream.event())[2]["data"]["error"]["code"] == "ORCH_AUTH_001"
        assert await stream.end() == b""


async def test_another_users_session_is_none_and_costs_what_none_costs(client: Client) -> None:
    session = await client.session()
    for path in (session, "0198c5a2-7d1f-7c3e-9a54-3f1f6f0f8a11"):
        reply = await client.call("GET", f"/api/v1/session.stream/{path}", headers=bearer(user="bob"))
        assert reply.status == 404
    assert not client.process.services.event_hub.followers("acme", session)
    assert await client.process.stores.redis.xlen(KEYS.lane("acme", Lane.NORMAL)) == 0
