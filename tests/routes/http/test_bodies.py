"""Every way of asking wrongly gets its own error and the path of the fault."""

from typing import Any

import pytest

from orchestrator.errors import RateLimited
from orchestrator.models.common.principal import Role
from tests.support.credentials import bearer
from tests.support.house import House

CREATE = "/api/v1/session.create"
CHAT = "/api/v1/chat.message"
JSON = {"Content-Type": "application/json"}
ENVELOPE = {"data": {"agent_id": "docs-guide"}}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, (400, "ORCH_VAL_001", "$.agent_id")),
        ([1], (400, "ORCH_VAL_001", "$")),
        ({"agent_id": 5}, (400, "ORCH_VAL_001", "$.agent_id")),
        ({"agent_id": "a:b"}, (400, "ORCH_VAL_001", "$.agent_id")),
        ({"agent_id": "{a}"}, (400, "ORCH_VAL_001", "$.agent_id")),
        ({"agent_id": "a", "colour": "red"}, (400, "ORCH_VAL_001", "$.colour")),
        ({"agent_id": "a", "ttl_seconds": "60"}, (400, "ORCH_VAL_001", "$.ttl_seconds")),
        ({"agent_id": "a", "ttl_seconds": 1}, (400, "ORCH_VAL_001", "$.ttl_seconds")),
        ({"agent_id": "a", "metadata": [1]}, (400, "ORCH_VAL_001", "$.metadata")),
        ({"data": {}}, (400, "ORCH_VAL_001", "$.data.agent_id")),
        ({"data": None}, (400, "ORCH_VAL_001", "$.data")),
        ({"data": {"agent_id": 5}}, (400, "ORCH_VAL_001", "$.data.agent_id")),
        ({"data": {"agent_id": "a", "colour": "red"}}, (400, "ORCH_VAL_001", "$.data.colour")),
        ({"type": {"domain": "session", "action": "create"}}, (400, "ORCH_VAL_001", "$.data")),
        ({**ENVELOPE, "message_id": "a b"}, (400, "ORCH_VAL_001", "$.message_id")),
        ({**ENVELOPE, "colour": "red"}, (400, "ORCH_VAL_001", "$.colour")),
        ({**ENVELOPE, "type": {"domain": "chat", "action": "message"}}, (422, "ORCH_VAL_002", "$.type")),
        ({**ENVELOPE, "schema_version": "2.0"}, (422, "ORCH_VAL_002", "$.schema_version")),
        ({**ENVELOPE, "tenant_id": "globex"}, (403, "ORCH_AUTH_002", "$.tenant_id")),
        ({"agent_id": "a", "tenant_id": "globex"}, (403, "ORCH_AUTH_002", "$.tenant_id")),
        ({"data": {"agent_id": "a", "tenant_id": "globex"}}, (403, "ORCH_AUTH_002", "$.data.tenant_id")),
        (b"{", (400, "ORCH_VAL_001", "$")),
        (b'{"agent_id": "\xff"}', (400, "ORCH_VAL_001", "$")),
        (b"", (400, "ORCH_VAL_001", "$")),
        (b"[" * 5000, (400, "ORCH_VAL_001", "$")),
    ],
)
async def test_a_bad_body_is_refused_with_the_path_of_its_fault(body: Any, fault: tuple[int, str, str]) -> None:
    reply = await House().call("POST", CREATE, body, {**bearer(), **JSON})
    assert reply.fault == fault


async def test_a_field_of_the_envelope_that_is_null_says_nothing() -> None:
    names = ("message_id", "correlation_id", "type", "schema_version", "created_at", "tenant_id", "source_service")
    reply = await House().call("POST", CREATE, {**ENVELOPE, **dict.fromkeys(names)}, {**bearer(), **JSON})
    assert reply.status == 201


async def test_all_faults_of_a_body_are_told_at_once() -> None:
    reply = await House().call("POST", CHAT, {"content": "", "mode": "loud", "timeout_ms": 0, "x": 1})
    assert {fault["path"] for fault in reply.error["details"]} == {
        "$.session_id",
        "$.content",
        "$.mode",
        "$.timeout_ms",
        "$.x",
    }


async def test_a_fault_deep_inside_has_its_whole_path() -> None:
    attachments = [{"name": "a", "url": "https://a"}, {"name": "b", "url": "file:///etc/passwd"}]
    body = {"data": {"session_id": "s", "content": "hi", "attachments": attachments}}
    assert (await House().call("POST", CHAT, body)).fault == (
        400,
        "ORCH_VAL_001",
        "$.data.attachments[1].url",
    )


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data", "json"])
async def test_another_content_type_is_refused(content_type: str) -> None:
    reply = await House().call("POST", CREATE, b"{}", {**bearer(), "Content-Type": content_type})
    assert reply.fault == (415, "ORCH_VAL_006", "")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/vnd.api+json", "", "application/x-www-form-urlencoded"],
)
async def test_json_is_taken_by_whatever_name_curl_gives_it(content_type: str) -> None:
    headers = {**bearer(), "Content-Type": content_type} if content_type else bearer()
    reply = await House().call("POST", CREATE, b'{"agent_id": "docs-guide"}', headers)
    assert reply.status == 201


async def test_a_real_form_is_not_taken_for_json() -> None:
    headers = {**bearer(), "Content-Type": "application/x-www-form-urlencoded"}
    assert (await House().call("POST", CREATE, b"agent_id=x", headers)).status == 415


async def test_a_compressed_body_is_refused() -> None:
    reply = await House().call("POST", CREATE, b"{}", {**bearer(), **JSON, "Content-Encoding": "gzip"})
    assert reply.fault == (415, "ORCH_VAL_006", "")


async def test_a_body_that_is_too_large_is_refused() -> None:
    house = House()
    body = {"agent_id": "a", "metadata": {"x": "y" * house.settings.max_body_bytes}}
    assert (await house.call("POST", CREATE, body)).fault == (413, "ORCH_VAL_005", "")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Correlation-ID", "a b"),
        ("X-Correlation-ID", "x" * 65),
        ("X-Message-ID", "a:b"),
        ("Idempotency-Key", "x" * 256),
        ("Idempotency-Key", ""),
        ("X-Request-Priority", "10"),
        ("X-Request-Priority", "high"),
    ],
)
async def test_a_bad_header_is_refused_by_name(header: str, value: str) -> None:
    reply = await House().call("POST", CREATE, {"agent_id": "a"}, {**bearer(), header: value})
    assert reply.fault == (400, "ORCH_VAL_003", f"$.headers.{header}")
    assert value not in {reply.headers["X-Correlation-ID"], reply.json["correlation_id"]}


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "$.query.limit"),
        ("limit=201", "$.query.limit"),
        ("limit=many", "$.query.limit"),
        ("limit=", "$.query.limit"),
        ("limit=99999999999999999999999", "$.query.limit"),
        ("limit=1&limit=2", "$.query.limit"),
        ("state=SLEEPY", "$.query.state"),
        ("agent_id=a:b", "$.query.agent_id"),
        ("cursor=", "$.query.cursor"),
        ("leaf=2", "$.query.leaf"),
    ],
)
async def test_a_bad_query_parameter_is_refused_by_name(query: str, path: str) -> None:
    reply = await House().call("GET", f"/api/v1/session.list?{query}")
    assert reply.fault == (400, "ORCH_VAL_003", path)


@pytest.mark.parametrize("bad", ["a:b", "{a}", "a%20b", "x" * 65, "%00", "a%0A"])
async def test_a_bad_id_in_the_path_is_refused(bad: str) -> None:
    reply = await House().call("GET", f"/api/v1/session.get/{bad}")
    assert reply.fault == (400, "ORCH_VAL_003", "$.path.session_id")


async def test_a_route_without_a_body_takes_an_empty_envelope_and_nothing_else() -> None:
    house = House()
    path = f"/api/v1/session.ticket/{await house.session()}"
    bodies: list[Any] = [None, {}, {"data": {}}, {"data": None}]
    for body in bodies:
        assert (await house.call("POST", path, body)).status == 201
    assert (await house.call("POST", path, {"data": {"x": 1}})).fault == (400, "ORCH_VAL_001", "$.data.x")


async def test_an_unknown_session_and_a_foreign_one_look_the_same() -> None:
    house = House()
    session_id = await house.session()
    answers = []
    for id_, headers in [
        ("unknown", bearer()),
        (session_id, bearer(user="bob")),
        (session_id, bearer(tenant="globex")),
    ]:
        reply = await house.call("GET", f"/api/v1/session.get/{id_}", headers=headers)
        assert reply.error["message"] == f"There is no session {id_}."
        answers.append(reply.fault)
    assert answers == [(404, "ORCH_NOTF_001", "")] * 3


async def test_a_closed_session_takes_no_message() -> None:
    house = House()
    session_id = await house.session()
    await house.call("DELETE", f"/api/v1/session.close/{session_id}")
    reply = await house.call("POST", CHAT, {"session_id": session_id, "content": "hi"})
    assert reply.fault == (410, "ORCH_SESS_001", "")


async def test_a_missing_permission_is_refused_and_audited() -> None:
    house = House()
    reply = await house.call("POST", CREATE, {"agent_id": "a"}, bearer(role=Role.MONITOR))
    assert reply.fault == (403, "ORCH_AUTH_003", "")
    assert [(entry["action"], entry["tenant_id"]) for entry in house.audit.entries] == [("auth.refused", "acme")]


async def test_a_body_for_another_tenant_is_audited_with_who_sent_it() -> None:
    house = House()
    await house.call("POST", CREATE, {"agent_id": "a", "tenant_id": "globex"})
    [entry] = house.audit.entries
    assert (entry["action"], entry["tenant_id"], entry["user_id"]) == ("auth.refused", "acme", "ann")


async def test_an_unknown_route_answers_in_the_same_form() -> None:
    house = House()
    unknown = await house.call("GET", "/api/v1/nothing.here")
    assert unknown.fault == (404, "ORCH_NOTF_001", "")
    wrong_method = await house.call("GET", CREATE)
    assert wrong_method.fault == (405, "ORCH_VAL_003", "")
    assert "POST" in wrong_method.headers["Allow"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CREATE, b"{", 400),
        (CREATE, b"{" * 20_000, 429),
        (CHAT, b"{" * 20_000, 429),
        ("/api/v1/agent.feedback", b"{", 429),
    ],
)
async def test_a_body_that_costs_much_is_not_read_beyond_the_rate_limit(path: str, body: bytes, status: int) -> None:
    house = House()
    house.limiter.error = RateLimited("Too many requests.")
    reply = await house.call("POST", path, body, {**bearer(), **JSON, "Content-Length": str(len(body))})
    assert reply.status == status
