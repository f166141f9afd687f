"""The whole service over a real Redis: what the routes promise, seen from outside."""

import re
from typing import Any

import pytest
import trio

from orchestrator.models.common.principal import Role
from orchestrator.routes.http.pages import ASSETS
from tests.support.audited import audited
from tests.support.credentials import ADMIN_KEY, INTERNAL_KEY, bearer
from tests.support.house import Reply
from tests.support.served import BODY, CREATE, service

BOB, ELSEWHERE = bearer(user="bob"), bearer(tenant="globex")


async def test_a_session_lives_from_creation_to_its_end(redis_url: str) -> None:
    async with service(redis_url) as client:
        created = await client.call("POST", CREATE, {**BODY, "metadata": {"a": 1}})
        assert (created.status, created.data["state"], created.data["user_id"]) == (201, "CREATED", "ann")
        session_id = created.data["session_id"]
        shown = await client.call("GET", f"/api/v1/session.get/{session_id}")
        assert shown.data == {name: value for name, value in created.data.items() if name != "websocket_url"}
        updated = await client.call("PUT", f"/api/v1/session.update/{session_id}", {"metadata": {"b": 2}})
        assert updated.data["metadata"] == {"b": 2}
        refused = await client.call("PUT", f"/api/v1/session.pause/{session_id}")
        assert refused.fault[:2] == (409, "ORCH_SESS_002")
        ticket = await client.call("POST", f"/api/v1/session.ticket/{session_id}")
        assert (ticket.status, ticket.data["expires_in_seconds"]) == (201, 30)
        closed = await client.call("DELETE", f"/api/v1/session.close/{session_id}")
        assert (closed.status, closed.data["state"], closed.data["state_code"]) == (200, "TERMINATED", 70)
        assert (await client.say(session_id)).fault[:2] == (410, "ORCH_SESS_001")
        gone = await client.call("PUT", f"/api/v1/session.update/{session_id}", {"metadata": {}})
        assert gone.fault[:2] == (410, "ORCH_SESS_001")


async def test_what_belongs_to_others_is_not_found(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        said = await client.say(session_id)
        accepted = said.data
        for route in client.app.url_map.iter_rules():
            ids = {
                "session_id": session_id,
                "message_id": accepted["message_id"],
                "task_id": accepted["task_id"],
                "correlation_id": said.headers["X-Correlation-ID"],
            }
            [name] = route.arguments or {""}
            if name not in ids or not route.rule.startswith("/api/"):
                continue
            path = route.rule.replace(f"<{name}>", ids[name])
            for method in (route.methods or set()) - {"HEAD", "OPTIONS"}:
                bodies: list[tuple[str, Any]] = [
                    ("update", {"metadata": {}}),
                    ("assign", {"agent_id": "echo"}),
                    ("input", {"node_id": "ask", "input": {}}),
                ]
                body = next((body for word, body in bodies if word in path), None)
                for headers in (BOB, ELSEWHERE):
                    reply = await client.call(method, path, body, headers)
                    # To do a task again takes an operator, whether it is there or not.
                    expected = (403, "ORCH_AUTH_003", "") if "replay" in path else (404, "ORCH_NOTF_001", "")
                    assert reply.fault == expected, path
        assert (await client.say(session_id, BOB)).fault == (404, "ORCH_NOTF_001", "")
        assert (await client.say(session_id, ELSEWHERE, mode="stream")).fault == (404, "ORCH_NOTF_001", "")
        for listing in ("session.list", "task.list"):
            assert (await client.call("GET", f"/api/v1/{listing}", headers=BOB)).data["items"] == []
        operator = bearer(user="olga", role=Role.OPERATOR)
        assert (await client.call("GET", f"/api/v1/session.get/{session_id}", headers=operator)).status == 200


async def test_lists_go_on_where_they_stopped(redis_url: str) -> None:
    async with service(redis_url) as client:
        made = {await client.session() for _ in range(5)}
        seen: list[str] = []
        query = "limit=2"
        for _ in range(3):
            page = await client.call("GET", f"/api/v1/session.list?{query}")
            seen += [item["session_id"] for item in page.data["items"]]
            pagination = page.json["meta"]["pagination"]
            query = f"limit=2&cursor={pagination['next_cursor']}"
            await client.session()
        assert (len(seen), set(seen)) == (5, made)
        assert not pagination["has_more"]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "eyJhIjoxfQ", "%2e%2e", "a%3Ab"])
@pytest.mark.parametrize("listing", ["session.list", "task.list"])
async def test_a_forged_cursor_is_refused(redis_url: str, listing: str, cursor: str) -> None:
    async with service(redis_url) as client:
        reply = await client.call("GET", f"/api/v1/{listing}?cursor={cursor}")
        assert reply.fault[:2] == (400, "ORCH_VAL_003")


async def test_the_same_key_makes_one_thing_and_another_body_is_refused(redis_url: str) -> None:
    async with service(redis_url) as client:
        key = {**bearer(), "Idempotency-Key": "k1"}
        first, second = [await client.call("POST", CREATE, BODY, key) for _ in range(2)]
        assert first.data["session_id"] == second.data["session_id"]
        assert second.headers["Idempotent-Replayed"] == "true"
        other = await client.call("POST", CREATE, {"agent_id": "other"}, key)
        assert other.fault[:2] == (409, "ORCH_VAL_004")
        assert (await client.call("POST", CREATE, BODY, {**BOB, "Idempotency-Key": "k1"})).status == 201
        session_id, key = first.data["session_id"], {**bearer(), "Idempotency-Key": "k2"}
        replies: list[Reply] = []

        async def say() -> None:
            replies.append(await client.say(session_id, key))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(say)
        assert len({reply.data["task_id"] for reply in replies}) == 1
        assert sum("Idempotent-Replayed" in reply.headers for reply in replies) == 7
        tasks = await client.call("GET", "/api/v1/task.list")
        assert len(tasks.data["items"]) == 1


async def test_a_message_becomes_a_task_that_can_be_seen_and_stopped(redis_url: str) -> None:
    async with service(redis_url) as client:
        session_id = await client.session()
        accepted = await client.say(session_id)
        assert (accepted.status, accepted.data["status"]) == (202, "queued")
        assert "RateLimit" in accepted.headers
        task = (await client.call("GET", f"/api/v1/task.get/{accepted.data['task_id']}")).data
        assert (task["type"], task["status"], task["session_id"]) == ("chat.message", "pending", session_id)
        busy = await client.say(session_id, if_busy="reject")
        assert busy.fault[:2] == (409, "ORCH_SESS_003")
        assert "Retry-After" in busy.headers
        stop = f"/api/v1/chat.cancel/{accepted.data['message_id']}"
        assert [(await client.call("POST", stop)).data["cancelled"] for _ in range(2)] == [True, False]
        history = await client.call("GET", f"/api/v1/chat.history/{session_id}")
        assert history.status == 200


async def test_administration_takes_its_tenant_from_the_path(redis_url: str) -> None:
    async with service(redis_url) as client:
        await client.session()
        path, key = "/internal/v1/tenant.get/acme", {"X-API-Key": ADMIN_KEY}
        shown = await client.call("GET", path, headers=key)
        assert (shown.status, shown.json["tenant_id"]) == (200, "acme")
        assert (await client.call("GET", path, headers={"X-API-Key": INTERNAL_KEY})).fault[:2] == (
            403,
            "ORCH_AUTH_003",
        )
        assert (await client.call("GET", path)).fault[:2] == (401, "ORCH_AUTH_001")
        bad = await client.call("GET", "/internal/v1/tenant.get/a:b", headers=key)
        assert bad.fault == (400, "ORCH_VAL_003", "$.path.tenant_id")


async def test_too_many_requests_are_told_when_to_come_back(redis_url: str) -> None:
    async with service(redis_url, rate_user=1.0, rate_burst=2.0) as client:
        replies = [await client.call("GET", "/api/v1/session.list") for _ in range(4)]
        assert [reply.status for reply in replies[:2]] == [200, 200]
        assert replies[-1].fault[:2] == (429, "ORCH_RATE_001")
        assert int(replies[-1].headers["Retry-After"]) >= 1
        assert (await client.call("GET", "/api/v1/session.list", headers=BOB)).status == 200


async def test_refusals_are_in_the_audit_trail_without_the_token(redis_url: str) -> None:
    async with service(redis_url) as client:
        await client.call("GET", "/api/v1/session.list", headers={"Authorization": "Bearer forged-token"})
        await client.call("POST", CREATE, {**BODY, "tenant_id": "globex"})
        stores = client.process.stores
        [refused], [failed] = [await audited(stores.redis, f"auth.{how}") for how in ("refused", "failed")]
        assert (refused.tenant_id, refused.user_id) == ("acme", "ann")
        assert "forged-token" not in repr([refused, failed])


async def test_a_turn_that_fails_ends_its_stream_and_its_waiting(redis_url: str) -> None:
    async with service(redis_url, consuming=True, max_attempts=1) as client:
        session_id = await client.session()
        waited = await client.say(session_id, mode="wait", timeout_ms=8000)
        assert (waited.status, waited.error["code"]) == (503, "ORCH_CONN_001")
        streamed = await client.say(session_id, mode="stream", timeout_ms=8000)
        events = re.findall(r"^event: (.*)$", streamed.raw.decode(), re.MULTILINE)
        assert events[0] == "chat.status_update"
        assert "system.error" in events
        offsets = [int(offset) for offset in re.findall(r"^id: (\d+)$", streamed.raw.decode(), re.MULTILINE)]
        assert offsets == sorted(set(offsets))


async def test_a_process_is_ready_only_while_its_consumer_runs(redis_url: str) -> None:
    async with service(redis_url) as client:
        unready = await client.call("GET", "/health/ready", headers={})
        assert (unready.status, unready.json["status"]) == (503, "unready")
    async with service(redis_url, consuming=True) as client:
        ready = await client.call("GET", "/health/ready", headers={})
        assert ready.status == 200
        assert all(check["time_ms"] >= 0 for check in ready.json["checks"].values())


async def test_everything_that_is_served_is_in_the_document(redis_url: str) -> None:
    async with service(redis_url) as client:
        document = (await client.call("GET", "/openapi.json", headers={})).json
        rules = [
            rule
            for rule in client.app.url_map.iter_rules()
            if not rule.websocket and not rule.rule.startswith(f"{ASSETS}/")
        ]
        assert {re.sub("<(.*?)>", r"{\1}", rule.rule) for rule in rules} == set(document["paths"])
