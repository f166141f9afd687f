"""Notifications, from the service that sends them to the person who has read them."""

from typing import Any

import pytest

from orchestrator.models.common.principal import Role
from tests.support.credentials import bearer, keyed
from tests.support.sandboxed import names
from tests.support.served import Client, service

BOB, ELSEWHERE = bearer(user="bob"), bearer(tenant="globex")
LIST = "/api/v1/notification.list"


async def send(client: Client, title: str = "Hello", **more: Any) -> str:
    headers = keyed(tenant=more.pop("tenant", "acme"))
    if key := more.pop("key", None):
        headers["Idempotency-Key"] = key
    body = {"data": {"title": title, "message": "There.", **more}}
    sent = await client.call("POST", "/internal/v1/notification.send", body, headers)
    assert sent.status == 201, sent.raw
    return str(sent.data["notification_id"])


async def titles(client: Client, headers: dict[str, str] | None = None, query: str = "") -> list[str]:
    return names(await client.call("GET", f"{LIST}{query}", headers=headers), "title")


async def test_a_notification_reaches_its_users_alone(redis_url: str) -> None:
    async with service(redis_url) as client:
        await send(client, "for ann", user_ids=["ann"])
        await send(client, "for both", user_ids=["bob", "ann", "bob"], level="warning", data={"a": [1]})
        assert await titles(client) == ["for both", "for ann"]
        assert await titles(client, BOB) == ["for both"]
        assert await titles(client, bearer(user="olga", role=Role.OPERATOR)) == []
        assert await titles(client, ELSEWHERE) == []
        [shown, _] = (await client.call("GET", LIST)).data["items"]
        assert (shown["level"], shown["data"], shown["acknowledged_at"]) == ("warning", {"a": [1]}, None)


async def test_what_is_for_the_tenant_reaches_also_those_who_come_later(redis_url: str) -> None:
    async with service(redis_url) as client:
        await send(client, "first")
        assert await titles(client) == ["first"]
        await send(client, "second")
        await send(client, "elsewhere", tenant="globex")
        assert await titles(client) == ["second", "first"]
        assert await titles(client, bearer(user="newcomer")) == ["second", "first"]
        assert await titles(client, ELSEWHERE) == ["elsewhere"]


async def test_what_is_acknowledged_waits_no_longer(redis_url: str) -> None:
    async with service(redis_url) as client:
        first, second = await send(client, "first"), await send(client, "second")
        path = f"/api/v1/notification.acknowledge/{first}"
        done = await client.call("PUT", path)
        assert (done.status, done.data["notification_id"]) == (200, first)
        assert done.data["acknowledged_at"] is not None
        assert (await client.call("PUT", path)).data == done.data
        assert await titles(client, query="?unacknowledged=true") == ["second"]
        assert await titles(client, query="?unacknowledged=false") == ["second", "first"]
        assert await titles(client, BOB, "?unacknowledged=true") == ["second", "first"]
        pending = await client.call("GET", "/internal/v1/notification.pending/ann", headers=keyed())
        assert names(pending, "notification_id") == [second]
        for headers in (ELSEWHERE, None):
            other = path if headers else "/api/v1/notification.acknowledge/none"
            assert (await client.call("PUT", other, headers=headers)).fault[:2] == (404, "ORCH_NOTF_001")


async def test_a_notification_of_another_user_can_not_be_acknowledged(redis_url: str) -> None:
    async with service(redis_url) as client:
        private = await send(client, user_ids=["ann"])
        refused = await client.call("PUT", f"/api/v1/notification.acknowledge/{private}", headers=BOB)
        assert refused.fault[:2] == (404, "ORCH_NOTF_001")


async def test_what_has_expired_is_gone(redis_url: str) -> None:
    async with service(redis_url) as client:
        redis, keys = client.process.stores.redis, client.process.stores.keys
        short, long = await send(client, "short", user_ids=["ann"]), await send(client, "long", user_ids=["ann"])
        await redis.zadd(f"{keys.user_notifications('acme', 'ann')}:expiry", {short: 1})
        assert await titles(client) == ["long"]
        assert (await client.call("PUT", f"/api/v1/notification.acknowledge/{short}")).fault[0] == 404
        assert await redis.hkeys(f"{keys.user_notifications('acme', 'ann')}:bodies") == [long.encode()]


async def test_a_repeated_request_notifies_once_and_reaches_whom_the_first_did_not(redis_url: str) -> None:
    async with service(redis_url) as client:
        first = await send(client, "once", user_ids=["ann", "bob"], key="k1")
        redis, keys = client.process.stores.redis, client.process.stores.keys
        reader = keys.user_notifications("acme", "bob")
        await redis.delete(reader, *(f"{reader}:{part}" for part in ("bodies", "order", "expiry", "acks", "events")))
        assert await send(client, "once", user_ids=["ann", "bob"], key="k1") == first
        assert (await titles(client), await titles(client, BOB)) == (["once"], ["once"])
        wide = [await send(client, "wide", key="k2") for _ in range(2)]
        assert wide[0] == wide[1]
        assert await titles(client) == ["wide", "once"]
        body = {"title": "other", "message": "x"}
        headers = {**keyed(), "Idempotency-Key": "k2"}
        reused = await client.call("POST", "/internal/v1/notification.send", body, headers)
        assert reused.fault[:2] == (409, "ORCH_VAL_004")


async def test_a_list_goes_on_where_it_stopped(redis_url: str) -> None:
    async with service(redis_url) as client:
        made = [await send(client, str(number), user_ids=["ann"]) for number in range(5)]
        first = await client.call("GET", f"{LIST}?limit=3&unacknowledged=true")
        await client.call("PUT", f"/api/v1/notification.acknowledge/{made[4]}")
        await send(client, "new", user_ids=["ann"])
        cursor = first.json["meta"]["pagination"]["next_cursor"]
        rest = await client.call("GET", f"{LIST}?limit=3&unacknowledged=true&cursor={cursor}")
        assert names(first, "title") + names(rest, "title") == ["4", "3", "2", "1", "0"]


async def test_no_more_is_kept_of_a_user_than_there_is_room_for(redis_url: str) -> None:
    async with service(redis_url, rate_tenant=100_000.0, rate_user=100_000.0) as client:
        redis, keys = client.process.stores.redis, client.process.stores.keys
        for number in range(503):
            await send(client, str(number))
        assert await redis.xlen(keys.notifications("acme")) == 500
        page = await client.call("GET", f"{LIST}?limit=200")
        assert names(page, "title")[0] == "502"
        await send(client, "one more", user_ids=["ann"])
        reader = keys.user_notifications("acme", "ann")
        assert await redis.zcard(f"{reader}:order") == 500
        assert await redis.hlen(f"{reader}:bodies") == 500
        for key in (keys.notifications("acme"), reader, f"{reader}:bodies", f"{reader}:order", f"{reader}:events"):
            assert await redis.ttl(key) > 0


@pytest.mark.parametrize(
    "body",
    [
        {"message": "x"},
        {"title": "", "message": "x"},
        {"title": "x", "message": "x", "level": "loud"},
        {"title": "x", "message": "x", "user_ids": []},
        {"title": "x", "message": "x", "user_ids": ["a:b"]},
        {"title": "x", "message": "x", "expires_in_seconds": 0},
        {"title": "x", "message": "x", "data": {"large": "x" * 20_000}},
    ],
)
async def test_a_malformed_notification_is_refused(redis_url: str, body: dict[str, Any]) -> None:
    async with service(redis_url) as client:
        refused = await client.call("POST", "/internal/v1/notification.send", {"data": body}, keyed())
        assert refused.fault[:2] == (400, "ORCH_VAL_001")


async def test_a_ticket_for_the_socket_needs_no_session(redis_url: str) -> None:
    async with service(redis_url) as client:
        ticket = await client.call("POST", "/api/v1/session.ticket/notifications")
        assert (ticket.status, ticket.data["expires_in_seconds"]) == (201, 30)
        holder = await client.process.services.tickets.redeem(ticket.data["ticket"], None)
        assert (holder.tenant_id, holder.user_id) == ("acme", "ann")


async def test_only_services_send(redis_url: str) -> None:
    async with service(redis_url) as client:
        body = {"title": "x", "message": "x"}
        assert (await client.call("POST", "/internal/v1/notification.send", body)).fault[0] == 403
        assert (await client.call("GET", "/internal/v1/notification.pending/ann")).fault[0] == 401
        bad = await client.call("GET", f"{LIST}?unacknowledged=maybe")
        assert bad.fault == (400, "ORCH_VAL_003", "$.query.unacknowledged")
