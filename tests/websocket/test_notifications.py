"""What a client sees of its user's notifications."""

from typing import Any

import pytest
from trio_websocket import ConnectionRejected

from orchestrator.models.common.principal import Principal, RequestContext, Role, TraceContext
from orchestrator.models.events.notification import NotificationSend
from orchestrator.store.keys import Keys
from tests.websocket.stage import Client, Stage, open_stage

PATH = "/ws/v1/notifications"


def ctx(user: str = "service", tenant: str = "acme") -> RequestContext:
    principal = Principal(tenant, user, Role.SERVICE, frozenset({"*"}), float("inf"))
    return RequestContext(principal, "r1", "corr-n", TraceContext("a" * 32, "b" * 16))


async def notify(stage: Stage, title: str, *users: str, tenant: str = "acme", **more: Any) -> str:
    request = NotificationSend(title, "There.", user_ids=[*users] or None, **more)
    sent, _ = await stage.notifications.send(ctx(tenant=tenant), request)
    return sent.notification_id


async def titles(client: Client, count: int) -> list[tuple[int, str]]:
    frames = [await client.next("system.notification") for _ in range(count)]
    return [(frame["offset"], frame["data"]["title"]) for frame in frames]


async def test_waiting_notifications_come_first_and_then_new_ones(stage: Stage) -> None:
    await notify(stage, "before", "ada")
    async with stage.client(PATH) as client:
        first = await client.next("notification.summary")
        assert (first["offset"], first["data"]["unacknowledged"], first["data"]["recovered"]) == (1, 1, True)
        assert [item["title"] for item in first["data"]["items"]] == ["before"]
        await notify(stage, "mine", "ada", level="warning", data={"a": 1})
        await notify(stage, "another's", "bob")
        await notify(stage, "elsewhere", tenant="globex")
        await notify(stage, "everybody's")
        frame = await client.next("system.notification")
        assert (frame["offset"], frame["epoch"], frame["correlation_id"]) == (2, first["epoch"], "corr-n")
        assert (frame["data"]["title"], frame["data"]["level"], frame["data"]["data"]) == ("mine", "warning", {"a": 1})
        assert await titles(client, 1) == [(3, "everybody's")]


async def test_every_user_gets_a_notification_of_the_tenant_once(stage: Stage) -> None:
    async with (
        stage.client(PATH) as ada,
        stage.client(PATH) as again,
        stage.client(PATH, token=stage.token("bob")) as bob,
    ):
        for client in (ada, again, bob):
            await client.next("notification.summary")
        for title in ("one", "two"):
            await notify(stage, title)
        for client in (ada, again, bob):
            assert await titles(client, 2) == [(1, "one"), (2, "two")]


async def test_a_client_resumes_where_it_was(stage: Stage) -> None:
    for title in ("one", "two", "three"):
        await notify(stage, title)
    async with stage.client(PATH) as client:
        epoch = (await client.next("notification.summary"))["epoch"]
    await notify(stage, "four", "ada")
    await notify(stage, "five")
    async with stage.client(f"{PATH}?last_offset=2&epoch={epoch}") as client:
        first = await client.next("notification.summary")
        assert (first["offset"], first["data"]["recovered"], first["data"]["unacknowledged"]) == (2, True, 5)
        assert await titles(client, 3) == [(3, "three"), (4, "four"), (5, "five")]
        await client.say("session.sync", {"last_offset": 4, "epoch": epoch})
        await client.next("notification.summary")
        assert await titles(client, 1) == [(5, "five")]
    async with stage.client(f"{PATH}?last_offset=2&epoch=lost") as client:
        first = await client.next("notification.summary")
        assert (first["offset"], first["data"]["recovered"], len(first["data"]["items"])) == (5, False, 5)


async def test_an_acknowledgement_is_told_to_the_users_other_devices(stage: Stage) -> None:
    notification_id = await notify(stage, "read me")
    async with stage.client(PATH) as client:
        await client.next("notification.summary")
        for _ in range(2):
            await stage.notifications.acknowledge(ctx("ada"), notification_id)
        await notify(stage, "next", "ada")
        told = await client.next("notification.acknowledged")
        assert (told["offset"], told["data"]["notification_id"]) == (2, notification_id)
        assert await titles(client, 1) == [(3, "next")]
    async with stage.client(PATH) as client:
        assert (await client.next("notification.summary"))["data"]["unacknowledged"] == 1


async def test_the_sockets_of_sessions_hear_of_notifications_outside_of_their_log(stage: Stage) -> None:
    async with stage.client() as client, stage.client("/ws/v1/chat/s3", token=stage.token("bob")) as bob:
        for one in (client, bob):
            await one.next("session.state_update")
        await notify(stage, "mine", "ada")
        await notify(stage, "everybody's")
        assert await titles(client, 2) == [(0, "mine"), (0, "everybody's")]
        assert await titles(bob, 1) == [(0, "everybody's")]


async def test_notifications_missed_by_a_process_are_found_when_it_reconnects(redis_url: str) -> None:
    async with open_stage(redis_url) as stage, stage.client(PATH) as client:
        await client.next("notification.summary")
        # Every connection for pub/sub is lost, and what is published meanwhile is lost.
        await stage.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await notify(stage, "meanwhile")
        assert await titles(client, 1) == [(1, "meanwhile")]


async def test_the_socket_takes_no_message(stage: Stage) -> None:
    async with stage.client(PATH) as client:
        await client.next("notification.summary")
        await client.say("chat.message", {"content": "hi"})
        assert (await client.next("system.error"))["data"]["error"]["code"] == "ORCH_NOTF_001"
        await client.say("system.ping", {})
        await client.next("system.pong")


async def test_a_ticket_for_any_session_opens_it(stage: Stage) -> None:
    stage.tickets.give("t", "s1")
    async with stage.client(f"{PATH}?ticket=t", anonymous=True) as client:
        await client.next("notification.summary")
    with pytest.raises(ConnectionRejected) as refused:
        async with stage.client(f"{PATH}?ticket=t", anonymous=True):
            pass
    assert refused.value.status_code == 401


async def test_it_needs_the_permission_to_read_sessions(stage: Stage) -> None:
    with pytest.raises(ConnectionRejected) as refused:
        async with stage.client(PATH, token=stage.token(permissions=["workflow:read"])):
            pass
    assert refused.value.status_code == 403


async def test_foreign_messages_on_the_channel_do_no_harm(stage: Stage) -> None:
    async with stage.client(PATH) as client, stage.client() as session:
        await client.next("notification.summary")
        await session.next("session.state_update")
        for rubbish in (b"", b"ada\n", b"*\n{}", b"\xff\n[]", b"*\n[1]"):
            await stage.redis.publish(Keys().notification_channel, rubbish)
        await notify(stage, "after")
        assert await titles(client, 1) == [(1, "after")]
        assert await titles(session, 1) == [(0, "after")]


async def test_the_damaged_keys_of_one_user_delay_no_other(stage: Stage) -> None:
    async with stage.client(PATH, token=stage.token("bob")) as bob, stage.client(PATH) as client:
        for one in (bob, client):
            await one.next("notification.summary")
        await stage.redis.set(f"{Keys().user_notifications('acme', 'bob')}:bodies", "damaged")
        for number in range(1, 4):
            await notify(stage, str(number))
            assert await titles(client, 1) == [(number, str(number))]


async def test_an_entry_that_is_no_notification_goes_and_keeps_no_user_from_the_others(stage: Stage) -> None:
    key = Keys().notifications("acme")
    for fields in ({"x": "y"}, {b"\xff": b"\xff"}, {"id": "n1", "body": "{}", "created": "1", "expires": "soon"}):
        await stage.redis.xadd(key, fields)
    async with stage.client(PATH) as client:
        await client.next("notification.summary")
        await notify(stage, "after")
        assert await titles(client, 1) == [(1, "after")]
    assert await stage.redis.xlen(key) == 1
    assert await stage.redis.hget("orchestrator:dropped:acme", "unreadable_notifications") == b"3"
