"""All that happens to a tenant, as a stream."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import pytest
import trio

from orchestrator.models.common.principal import Role
from orchestrator.models.events.events import ChatStream
from orchestrator.routes.http import event_stream
from orchestrator.store.events.feed import FOLLOWED
from orchestrator.store.events.frames import make_body
from orchestrator.store.keys import Keys
from tests.support.credentials import ADMIN_KEY, bearer, keyed
from tests.support.eventually import eventually
from tests.support.served import Client, service
from tests.support.streams import Stream, open_stream

STREAM: Final = "/internal/v1/event.stream"
OPERATOR: Final = bearer(user="olga", role=Role.OPERATOR, permissions=["task:read"])
KEYS: Final = Keys()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with service(redis_url) as client:
        yield client


def following(
    client: Client, headers: dict[str, str] | None = None, path: str = STREAM, **more: Any
) -> AbstractAsyncContextManager[Stream]:
    return open_stream(client.app, "GET", path, keyed(ADMIN_KEY) if headers is None else headers, **more)


async def told(stream: Stream, count: int) -> list[tuple[str, str, str]]:
    """Return the kind, the id and the name of events."""
    frames = [(await stream.event())[2]["data"] for _ in range(count)]
    return [(one["kind"], one["id"], one["event"]) for one in frames]


async def test_sessions_turns_batches_and_notices_of_the_tenant_come_as_they_happen(client: Client) -> None:
    async with following(client) as stream:
        first, name, frame = await stream.event()
        assert (name, frame["data"]) == ("tenant.followed", {"recovered": True})
        assert stream.headers["content-type"] == "text/event-stream"
        await client.session(bearer("globex"))
        session = await client.session()
        accepted = (await client.say(session)).data
        body = {"agent_id": "docs-guide", "items": [{"content": "a"}]}
        batch = (await client.call("POST", "/api/v1/batch.create", body)).data["batch_id"]
        await client.call("DELETE", f"/api/v1/batch.cancel/{batch}")
        created, name, frame = await stream.event()
        assert (name, frame["offset"], frame["data"]["event"]) == ("tenant.event", 2, "session.created")
        assert created == f"{first.partition('-')[0]}-2"
        assert (frame["data"]["id"], frame["data"]["data"]["user_id"]) == (session, "ann")
        events = [(await stream.event())[2] for _ in range(3)]
        seen = [event["data"] for event in events]
        assert [(one["kind"], one["id"], one["event"]) for one in seen] == [
            ("session", session, "chat.status_update"),
            ("session", session, "session.state_update"),
            ("batch", batch, "batch.progress"),
        ]
        assert seen[0]["data"]["task_id"] == accepted["task_id"]
        assert (seen[0]["offset"], events[0]["tenant_id"]) == (1, "acme")
        assert {one["user_id"] for one in seen} == {"ann"}


async def notified(client: Client, **body: Any) -> str:
    answer = await client.call("POST", "/internal/v1/notification.send", {"data": body}, keyed())
    return str(answer.data["notification_id"])


async def test_a_notification_is_told_once_with_who_gets_it_and_without_its_free_fields(client: Client) -> None:
    async with following(client) as stream:
        await stream.event()
        wide = await notified(client, title="Down", message="At noon", data={"secret": "x"})
        users = [f"user-{number:03}" for number in range(120)]
        many = await notified(client, title="Hello", message="All", level="warning", user_ids=users)
        one = await notified(client, title="Hi", message="You", user_ids=["ann"])
        await client.call("GET", "/api/v1/notification.list")
        await client.call("PUT", f"/api/v1/notification.acknowledge/{one}", {})
        frames = [(await stream.event())[2] for _ in range(4)]
        seen = [frame["data"] for frame in frames]
        assert {event["kind"] for event in seen} == {"notification"}
        assert [(event["id"], event["event"], event["user_id"]) for event in seen] == [
            (wide, "system.notification", None),
            (many, "system.notification", None),
            (one, "system.notification", "ann"),
            (one, "notification.acknowledged", "ann"),
        ]
        assert (seen[0]["data"]["title"], seen[0]["data"]["users"]) == ("Down", None)
        assert "data" not in seen[0]["data"]
        assert (seen[1]["data"]["users"], seen[1]["data"]["user_ids"]) == (120, users[:100])
        assert seen[3]["data"]["notification_id"] == one
        assert seen[3]["data"]["acknowledged_at"] <= frames[3]["created_at"]


async def test_a_notification_that_is_sent_again_with_its_key_is_not_told_again(client: Client) -> None:
    async with following(client) as stream:
        await stream.event()
        headers = {**keyed(), "Idempotency-Key": "once"}
        body = {"title": "Hi", "message": "You", "user_ids": ["ann"]}
        sent = [await client.call("POST", "/internal/v1/notification.send", body, headers) for _ in range(2)]
        assert sent[0].data == sent[1].data
        other = await notified(client, title="Next", message="You", user_ids=["ann"])
        assert [name for _, name, _ in await told(stream, 2)] == [sent[0].data["notification_id"], other]


async def test_pieces_of_answers_come_to_those_who_ask_for_them_alone(client: Client) -> None:
    session = await client.session()
    tasks = client.process.stores.tasks
    async with following(client, path=f"{STREAM}?pieces=true") as with_pieces, following(client) as without:
        await with_pieces.event()
        await without.event()
        await client.say(session)
        [claim] = (await tasks.claim("acme", "node", 1)).claims
        for number in range(1, 101):
            piece = ChatStream("m", number, f"{number} ")
            body = make_body("chat.stream", piece, tenant_id="acme", correlation_id="c")
            await tasks.emit(claim, session, number, "chat.stream", body)
        other = await client.session()
        assert (await told(without, 3))[-1] == ("session", other, "session.created")
        frames = [(await with_pieces.event())[2]["data"] for _ in range(103)]
        pieces = [frame for frame in frames if frame["event"] == "chat.stream"]
        assert [frame["data"]["sequence_number"] for frame in pieces] == [*range(1, 101)]
        assert {(frame["id"], frame["user_id"]) for frame in pieces} == {(session, "ann")}


async def test_a_client_that_comes_back_goes_on_behind_its_last_event(client: Client) -> None:
    async with following(client) as stream:
        place = (await stream.event())[0]
    session = await client.session()
    async with following(client, {**keyed(ADMIN_KEY), "Last-Event-ID": place}) as stream:
        assert (await stream.event())[2]["data"] == {"recovered": True}
        last, _, frame = await stream.event()
        assert frame["data"]["id"] == session
    other = await client.session()
    async with following(client, path=f"{STREAM}?last_event_id={last}") as stream:
        assert (await stream.event())[2]["data"] == {"recovered": True}
        assert await told(stream, 1) == [("session", other, "session.created")]


@pytest.mark.parametrize("lost", ["epoch", "tail"])
async def test_a_gap_is_told(client: Client, lost: str) -> None:
    async with following(client) as stream:
        epoch, _, _ = (await stream.event())[0].partition("-")
    if lost == "epoch":
        await client.process.stores.redis.delete(KEYS.feed("acme"))
    place = f"{epoch}-{1 if lost == 'epoch' else 100}"
    async with following(client, {**keyed(ADMIN_KEY), "Last-Event-ID": place}) as stream:
        assert (await stream.event())[2]["data"] == {"recovered": False}
        session = await client.session()
        assert await told(stream, 1) == [("session", session, "session.created")]


async def test_nothing_is_written_for_a_tenant_that_no_one_follows(client: Client) -> None:
    await client.say(await client.session())
    assert not await client.process.stores.redis.exists(KEYS.feed("acme"), f"{KEYS.feed('acme')}:events")
    async with following(client) as stream:
        await stream.event()
        redis = client.process.stores.redis
        for key in (KEYS.feed("acme"), f"{KEYS.feed('acme')}:events"):
            assert 3500 < await redis.ttl(key) <= 3600


async def test_a_feed_of_another_type_stops_no_work_and_is_told_to_who_follows(client: Client) -> None:
    redis = client.process.stores.redis
    await redis.rpush(KEYS.feed("acme"), "odd")
    assert (await client.say(await client.session())).status == 202
    refused = await client.call("GET", STREAM, headers=keyed(ADMIN_KEY))
    assert (refused.status, refused.error["code"]) == (409, "ORCH_SYS_003")


async def test_an_event_that_has_left_its_log_is_told_without_its_data(client: Client) -> None:
    session = await client.session()
    async with following(client) as stream:
        place = (await stream.event())[0]
        await client.say(session)
        await stream.event()
    await client.process.stores.redis.delete(KEYS.events("acme", session))
    async with following(client, {**keyed(ADMIN_KEY), "Last-Event-ID": place}) as stream:
        await stream.event()
        data = (await stream.event())[2]["data"]
        assert (data["event"], data["data"]) == ("chat.status_update", None)


async def test_users_may_not_follow_the_tenant_and_operators_may_with_their_token(client: Client) -> None:
    path = "/api/v1/event.stream"
    assert (await client.call("GET", path)).status == 403
    assert (await client.call("GET", STREAM, headers=keyed())).status == 403
    assert (await client.call("GET", f"{path}?last_event_id=a%20b", headers=OPERATOR)).fault[2] == (
        "$.query.last_event_id"
    )
    async with following(client, OPERATOR, path) as stream:
        assert (await stream.event())[1] == "tenant.followed"


async def test_a_stream_ends_in_time_and_the_client_asks_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "STREAM_SECONDS", 0.2)
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.05)
    async with following(client) as stream:
        await stream.event()
        rest = await stream.end()
        assert rest.endswith(b": the tenant goes on; ask again with Last-Event-ID\n")
        assert b": keep-alive\n" in rest
    hub = client.process.services.event_hub
    await eventually("the feed is followed no more", lambda: not hub.followers("acme", FOLLOWED))


async def test_the_notices_of_a_tenant_are_told_and_those_of_others_are_not(client: Client) -> None:
    notices = client.process.services.tenants.notices
    assert notices is not None
    async with trio.open_nursery() as nursery:
        await nursery.start(notices.run)
        async with following(client) as stream:
            await stream.event()
            for tenant in ("globex", "acme"):
                await client.session(bearer(tenant))
                await client.call("POST", f"/internal/v1/tenant.pause/{tenant}", {}, keyed(ADMIN_KEY, tenant))
            assert await told(stream, 1) != []
            kind, name, event = (await told(stream, 1))[0]
            assert (kind, name, event) == ("notice", "acme", "tenant.paused")
        nursery.cancel_scope.cancel()
