"""The audit trail of a tenant, and of all: who may read it, in pages, and as lines of JSON."""

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from orchestrator.models.common.principal import Role
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, bearer
from tests.support.served import Client, service

LIST, EXPORT = "/api/v1/audit.list", "/api/v1/audit.export"
ALL, EXPORT_ALL = "/internal/v1/audit.list", "/internal/v1/audit.export"
OPERATOR = bearer(user="olga", role=Role.OPERATOR)
KEY = {"X-API-Key": ADMIN_KEY}


async def actions(client: Client, path: str, headers: dict[str, str] = OPERATOR, **more: Any) -> list[str]:
    reply = await client.call("GET", f"{path}?{urlencode(more)}", headers=headers)
    assert reply.status == 200, reply.raw
    return [entry["action"] for entry in reply.data["items"]]


async def test_an_operator_reads_what_concerns_the_own_tenant_alone(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        await client.session(bearer(tenant="globex", user="gil"))
        await client.call("DELETE", f"/api/v1/session.close/{session_id}")
        await client.call("GET", "/api/v1/session.list", headers={"Authorization": "Bearer forged"})
        reply = await client.call("GET", LIST, headers=OPERATOR)
        assert [entry["action"] for entry in reply.data["items"]] == ["session.close", "session.create"]
        closed = reply.data["items"][0]
        assert (closed["user_id"], closed["tenant_id"], closed["detail"]) == ("ann", "acme", session_id)
        assert (closed["outcome"], closed["kind"], closed["count"]) == ("ok", "activity", 1)
        assert closed["correlation_id"]
        assert await actions(client, ALL, KEY, tenant="globex") == ["session.create"]
        assert set(await actions(client, ALL, KEY)) == {"session.create", "session.close", "auth.failed", "key.use"}


@pytest.mark.parametrize("path", [LIST, EXPORT])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (bearer(), 403),
        (bearer(role=Role.MONITOR), 403),
        (bearer(permissions=["session:read"], role=Role.OPERATOR), 403),
        (bearer(permissions=["audit:read"]), 200),
        (bearer(role=Role.ADMIN), 200),
        (OPERATOR, 200),
        ({}, 401),
        (KEY, 401),
    ],
)
async def test_only_who_may_read_it_does(redis_url: str, path: str, headers: dict[str, str], status: int) -> None:
    async with service(redis_url) as client:
        assert (await client.call("GET", path, headers=headers)).status == status


@pytest.mark.parametrize("path", [ALL, EXPORT_ALL])
async def test_all_of_it_is_for_the_admin_key(redis_url: str, path: str) -> None:
    async with service(redis_url) as client:
        assert (await client.call("GET", path, headers=KEY)).status == 200
        internal = {"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": "acme"}
        assert (await client.call("GET", path, headers=internal)).status == 403
        assert (await client.call("GET", path, headers=OPERATOR)).status == 401


async def test_pages_and_lines_join_to_the_same_entries(redis_url: str) -> None:
    async with service(redis_url) as client:
        for _ in range(7):
            await client.session()
        whole = (await client.call("GET", f"{LIST}?order=oldest", headers=OPERATOR)).data["items"]
        assert len(whole) == 7
        listed: list[Any] = []
        cursor = None
        while len(listed) == 0 or cursor:
            asked = {"order": "oldest", "limit": "3"} | ({"cursor": cursor} if cursor else {})
            reply = await client.call("GET", f"{LIST}?{urlencode(asked)}", headers=OPERATOR)
            listed += reply.data["items"]
            cursor = reply.json["meta"]["pagination"]["next_cursor"]
        exported: list[Any] = []
        while len(exported) == 0 or cursor:
            asked = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
            reply = await client.call("GET", f"{EXPORT}?{urlencode(asked)}", headers=OPERATOR)
            assert reply.headers["Content-Type"] == "application/x-ndjson"
            exported += [orjson.loads(line) for line in reply.raw.splitlines()]
            cursor = reply.headers.get("X-Next-Cursor")
        assert listed == exported == whole


async def test_what_is_asked_for_is_narrowed(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        await client.call("DELETE", f"/api/v1/session.close/{session_id}")
        await client.call("GET", "/api/v1/audit.list")
        assert await actions(client, LIST, action="session.create") == ["session.create"]
        assert await actions(client, LIST, action="session.") == ["session.close", "session.create"]
        assert await actions(client, LIST, outcome="refused") == ["auth.refused"]
        assert await actions(client, LIST, actor="olga") == []
        assert await actions(client, LIST, until="2020-01-01T00:00:00Z") == []
        assert len(await actions(client, LIST, since="2020-01-01T00:00:00Z")) == 3


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ({"cursor": "nonsense"}, "$.query.cursor"),
        ({"cursor": "MTpzMQ"}, "$.query.cursor"),
        ({"since": "yesterday"}, "$.query.since"),
        ({"order": "random"}, "$.query.order"),
        ({"limit": "201"}, "$.query.limit"),
        ({"tenant": "globex"}, "$.query.tenant"),
    ],
)
async def test_a_malformed_question_is_refused_by_its_path(redis_url: str, query: dict[str, str], place: str) -> None:
    async with service(redis_url) as client:
        for path in (LIST, EXPORT):
            reply = await client.call("GET", f"{path}?{urlencode(query)}", headers=OPERATOR)
            assert reply.fault == (400, "ORCH_VAL_003", place)
