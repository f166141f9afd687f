"""The routes of operators over a real Redis: who may call them, and what they answer."""

from itertools import cycle
from json import loads
from typing import Any

import pytest

from orchestrator.models.common.principal import Role
from tests.support.audited import audited
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, bearer
from tests.support.served import Client, service

ADMIN = {"X-API-Key": ADMIN_KEY}
I1 = "/internal/v1/"


async def admin(client: Client, method: str, path: str, body: Any = None) -> Any:
    reply = await client.call(method, I1 + path, body, ADMIN)
    assert reply.status == 200, reply.raw
    return reply.data


async def test_tenants_queues_and_dead_letters_have_their_routes(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        await client.say(session_id)
        assert [one["tenant_id"] for one in (await admin(client, "GET", "tenant.list"))["items"]] == ["acme"]
        assert (await admin(client, "PUT", "tenant.configure/acme", {"concurrency": 3}))["limits"]["concurrency"] == 3
        assert (await admin(client, "PUT", "tenant.configure/acme", {"concurrency": None}))["limits"][
            "concurrency"
        ] is None
        assert (await admin(client, "GET", "queue.get/acme"))["depth"] == {"high": 1, "normal": 0, "low": 0}
        assert (await admin(client, "GET", "queue.list"))["items"][0]["queued"] == 1
        drained = await admin(client, "POST", "tenant.drain/acme", {"mode": "discard"})
        assert (drained["state"], drained["parked"]) == ("drained", 1)
        items = (await admin(client, "GET", "tenant.export/acme"))["items"]
        page = await client.call("GET", I1 + "tenant.export/acme", headers=ADMIN)
        while cursor := page.json["meta"]["pagination"]["next_cursor"]:
            page = await client.call("GET", f"{I1}tenant.export/acme?cursor={cursor}", headers=ADMIN)
            items += page.data["items"]
        assert [item["kind"] for item in items] == ["session", "task"]
        refused = await client.call("POST", I1 + "tenant.import/acme", {"items": items}, ADMIN)
        assert refused.fault[:2] == (503, "ORCH_TENANT_002")
        assert (await admin(client, "POST", "tenant.resume/acme"))["queued"] == 1
        again = await admin(client, "POST", "tenant.import/acme", {"items": items})
        assert again == {"imported": 0, "skipped": 1, "sessions": 0}
        assert (await admin(client, "GET", "dlq.list/acme"))["items"] == []
        assert (await admin(client, "POST", "dlq.replay/acme", {}))["replayed"] == 0
        assert (await admin(client, "POST", "dlq.purge/acme", {})) == {"purged": 0}


async def test_the_secret_of_callbacks_is_shown_and_replaced_and_stands_in_no_audit(redis_url: str) -> None:
    async with service(redis_url) as client:
        await client.session()
        first = await admin(client, "GET", "tenant.callback_secret/acme")
        assert (first["tenant_id"], first["secret"][:6]) == ("acme", "whsec_")
        assert await admin(client, "GET", "tenant.callback_secret/acme") == first
        second = await admin(client, "POST", "tenant.rotate_callback_secret/acme")
        assert second["secret"] != first["secret"]
        assert await admin(client, "GET", "tenant.callback_secret/acme") == second
        assert b"whsec_" not in (await client.call("GET", I1 + "tenant.get/acme", headers=ADMIN)).raw
        redis = client.process.stores.redis
        said = [entry.detail for entry in await audited(redis, "tenant.callback_secret")]
        assert said == ["shown", "replaced", "shown", "shown"]
        assert "whsec_" not in repr(await audited(redis))


@pytest.mark.parametrize(
    ("method", "path", "body", "fault"),
    [
        ("GET", "tenant.get/nobody", None, (404, "ORCH_NOTF_001", "")),
        ("GET", "tenant.callback_secret/nobody", None, (404, "ORCH_NOTF_001", "")),
        ("POST", "tenant.rotate_callback_secret/nobody", None, (404, "ORCH_NOTF_001", "")),
        ("PUT", "tenant.configure/nobody", {}, (404, "ORCH_NOTF_001", "")),
        ("PUT", "tenant.configure/acme", {"weight": 0}, (400, "ORCH_VAL_001", "$.weight")),
        ("PUT", "tenant.configure/acme", {"colour": 1}, (400, "ORCH_VAL_001", "$.colour")),
        ("POST", "tenant.drain/acme", {"mode": "explode"}, (400, "ORCH_VAL_001", "$.mode")),
        ("POST", "tenant.drain/acme", {"deadline_seconds": -1}, (400, "ORCH_VAL_001", "$.deadline_seconds")),
        (
            "POST",
            "tenant.drain/acme",
            {"mode": "discard", "deadline_seconds": 5},
            (422, "ORCH_VAL_002", "$.deadline_seconds"),
        ),
        ("POST", "tenant.import/acme", {"items": []}, (400, "ORCH_VAL_001", "$.items")),
        ("POST", "tenant.import/acme", {"items": [{"kind": "x"}]}, (400, "ORCH_VAL_001", "$.items[0].kind")),
        ("GET", "tenant.export/acme?cursor=x", None, (400, "ORCH_VAL_003", "$.query.cursor")),
        ("GET", "tenant.list?limit=0", None, (400, "ORCH_VAL_003", "$.query.limit")),
        ("GET", "queue.get/nobody", None, (404, "ORCH_NOTF_001", "")),
        ("GET", "dlq.list/nobody", None, (404, "ORCH_NOTF_001", "")),
        ("GET", "dlq.list/acme?entry=1-1", None, (404, "ORCH_NOTF_001", "")),
        ("GET", "dlq.list/acme?entry=x", None, (400, "ORCH_VAL_003", "$.query.entry")),
        ("POST", "dlq.replay/acme", {"ids": ["x"]}, (400, "ORCH_VAL_001", "$.ids[0]")),
        ("POST", "dlq.replay/acme", {"rate": 0}, (400, "ORCH_VAL_001", "$.rate")),
    ],
)
async def test_a_wrong_request_has_its_error(
    redis_url: str, method: str, path: str, body: Any, fault: tuple[int, str, str]
) -> None:
    async with service(redis_url) as client:
        await client.session()
        assert (await client.call(method, I1 + path, body, ADMIN)).fault == fault
        assert (await client.call(method, I1 + path, body, {"X-API-Key": INTERNAL_KEY})).status in {401, 403}


async def test_a_running_task_is_not_replayed_and_users_replay_nothing(redis_url: str) -> None:
    async with service(redis_url) as client:
        task_id = (await client.say(await client.session())).data["task_id"]
        operator = bearer(user="op", role=Role.OPERATOR, permissions=["task:write"])
        path = f"/api/v1/task.replay/{task_id}"
        assert (await client.call("POST", path, {}, operator)).fault[:2] == (409, "ORCH_SESS_002")
        assert (await client.call("POST", path, {})).fault[:2] == (403, "ORCH_AUTH_003")
        assert (await client.call("POST", "/api/v1/task.replay/nothing", {}, operator)).fault[:2] == (
            404,
            "ORCH_NOTF_001",
        )


async def test_an_export_comes_in_pages_of_a_bounded_size_and_misses_nothing(redis_url: str) -> None:
    async with service(redis_url) as client:
        said = [f"{number} {'x' * 30_000}" for number in range(80)]
        sessions = [await client.session() for _ in range(20)]
        for content, session_id in zip(said, cycle(sessions), strict=False):
            assert (await client.say(session_id, content=content)).status == 202
        await admin(client, "POST", "tenant.drain/acme", {"mode": "discard"})
        seen: list[list[str]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await client.call("GET", f"{I1}tenant.export/acme?limit=200{cursor}", headers=ADMIN)
            tasks = [item for item in page.data["items"] if item["kind"] == "task"]
            seen.append([loads(task["fields"]["message"])["payload"]["content"] for task in tasks])
            following = page.json["meta"]["pagination"]["next_cursor"]
            cursor = None if following is None else f"&cursor={following}"
        assert sorted(content for page in seen for content in page) == sorted(said)
        assert max(sum(map(len, page)) for page in seen) < 2 * 2**20
