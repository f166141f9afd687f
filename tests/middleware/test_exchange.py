"""What every answer carries."""

from typing import Any

import pytest
import trio
from attrs import evolve
from structlog.testing import capture_logs

from orchestrator.errors import RateLimited, StoreUnavailable, TenantDamaged
from orchestrator.models.common.ids import is_id
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.services.operations.health import Health
from orchestrator.store.redis.errors import RedisAway
from tests.support.credentials import SETTINGS, bearer
from tests.support.house import House

CREATE = "/api/v1/session.create"
CHAT = "/api/v1/chat.message"
BODY = {"agent_id": "docs-guide"}
ORIGIN = "https://app.example"


async def test_an_answer_is_an_envelope() -> None:
    reply = await House().call("POST", CREATE, BODY, {**bearer(), "X-Correlation-ID": "c-1", "X-Message-ID": "m-1"})
    envelope = reply.json
    assert envelope["status"] == {"code": 201, "message": "Created"}
    assert envelope["type"] == {"domain": "session", "action": "created"}
    assert (envelope["correlation_id"], envelope["message_id"]) == ("c-1", "m-1")
    assert (envelope["tenant_id"], envelope["source_service"]) == ("acme", "agent-orchestrator")
    assert (envelope["schema_version"], "error" in envelope) == ("1.0", False)
    assert envelope["meta"]["processing_time_ms"] > 0
    assert (reply.headers["X-Correlation-ID"], reply.headers["X-Request-ID"]) == (
        "c-1",
        envelope["meta"]["request_id"],
    )


async def test_an_answer_that_the_framework_gives_by_itself_goes_out_too() -> None:
    house = House()
    house.app.add_url_rule("/folder/", "folder")
    reply = await house.app.test_client().get("/folder")
    assert (reply.status_code, reply.headers["Location"]) == (308, "http://localhost/folder/")
    assert b"/folder/" in await reply.get_data()


async def test_ids_of_the_envelope_come_back_too() -> None:
    sent = {
        "message_id": "m-2",
        "correlation_id": "c-2",
        "created_at": "2026-01-01T00:00:00.000Z",
        "data": BODY,
    }
    kind = {"domain": "session", "action": "create"}
    reply = await House().call("POST", CREATE, {**sent, "type": kind, "schema_version": "1.0", "tenant_id": "acme"})
    assert (reply.json["message_id"], reply.json["correlation_id"]) == ("m-2", "c-2")
    assert reply.headers["X-Correlation-ID"] == "c-2"


async def test_ids_that_are_left_out_are_made() -> None:
    reply = await House().call("POST", CREATE, BODY)
    assert all(is_id(reply.json[name]) for name in ("message_id", "correlation_id"))


async def test_a_chat_message_comes_back_under_the_id_it_was_given() -> None:
    house = House()
    reply = await house.call("POST", CHAT, {"session_id": await house.session(), "content": "hi"})
    assert (reply.status, reply.data["status"]) == (202, "queued")
    assert reply.json["message_id"] == reply.data["message_id"]


@pytest.mark.parametrize("key", [{"Idempotency-Key": "k1"}, {"Idempotency-Key": '"k1"'}, {"X-Message-ID": "k1"}])
async def test_a_replayed_answer_says_so(key: dict[str, str]) -> None:
    house = House()
    first = await house.call("POST", CREATE, BODY, {**bearer(), **key})
    second = await house.call("POST", CREATE, BODY, {**bearer(), **key})
    assert first.data["session_id"] == second.data["session_id"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"


async def test_waiting_gives_the_answer_or_the_receipt() -> None:
    house = House()
    body = {"session_id": await house.session(), "content": "hi", "mode": "wait", "timeout_ms": 10}
    receipt = await house.call("POST", CHAT, body)
    assert (receipt.status, receipt.data["status"]) == (202, "queued")
    house.chat.answer = ChatAnswer("m1", "a1", "Hello")
    answer = await house.call("POST", CHAT, body)
    assert (answer.status, answer.data["content"]) == (200, "Hello")
    assert answer.json["type"] == {"domain": "chat", "action": "completed"}
    house.chat.answer = StoreUnavailable("Redis is away.", retry_after_ms=1500)
    failed = await house.call("POST", CHAT, body)
    assert (failed.fault, failed.headers["Retry-After"]) == ((503, "ORCH_SYS_002", ""), "2")


async def test_a_list_says_where_it_goes_on() -> None:
    house = House()
    for _ in range(3):
        await house.session()
    reply = await house.call("GET", "/api/v1/session.list?limit=2")
    assert len(reply.data["items"]) == 2
    assert reply.json["meta"]["pagination"] == {
        "limit": 2,
        "has_more": True,
        "next_cursor": "more",
        "offset": 0,
        "total": 3,
    }
    reply = await house.call("GET", "/api/v1/agent.list")
    assert reply.json["meta"]["pagination"] == {"limit": 20, "has_more": False, "next_cursor": None}


async def test_the_rate_limit_is_told_and_its_end_as_well() -> None:
    house = House()
    reply = await house.call("GET", "/api/v1/session.list")
    assert reply.headers["RateLimit"] == '"default";r=999;t=1'
    assert reply.headers["RateLimit-Policy"] == '"default";q=1000;w=5'
    house.limiter.error = RateLimited("Too many requests.", retry_after_ms=2100)
    reply = await house.call("GET", "/api/v1/session.list")
    assert (reply.fault, reply.headers["Retry-After"]) == ((429, "ORCH_RATE_001", ""), "3")
    assert reply.error["retry_after_ms"] == 2100


@pytest.mark.parametrize("grouped", [False, True])
async def test_an_unknown_fault_is_logged_and_told_without_details(grouped: bool) -> None:
    house = House()
    fault: Exception = ZeroDivisionError("secret")
    house.limiter.error = ExceptionGroup("two", [fault, RateLimited("x")]) if grouped else fault
    with capture_logs() as logs:
        reply = await house.call("GET", "/api/v1/session.list")
    assert reply.fault == (500, "ORCH_SYS_001", "")
    assert "secret" not in reply.raw.decode()
    [entry] = [entry for entry in logs if entry["event"] == "request.failed"]
    assert (entry["exc_info"], entry["correlation_id"]) == (house.limiter.error, reply.json["correlation_id"])


async def test_a_known_fault_keeps_its_name_in_a_group() -> None:
    house = House()
    house.limiter.error = ExceptionGroup("one", [StoreUnavailable("Redis is away.")])
    assert (await house.call("GET", "/api/v1/session.list")).fault == (503, "ORCH_SYS_002", "")


async def test_an_outage_is_logged_in_the_words_of_redis_and_told_without_them() -> None:
    house = House()
    house.limiter.error = RedisAway("NOPERM of key 'secret'", sent=False)
    with capture_logs() as logs:
        reply = await house.call("GET", "/api/v1/session.list")
    assert reply.fault == (503, "ORCH_SYS_002", "")
    assert "secret" not in reply.raw.decode()
    [entry] = [entry for entry in logs if entry["event"] == "request.failed"]
    assert (entry["reason"], entry["correlation_id"]) == ("NOPERM of key 'secret'", reply.json["correlation_id"])


async def test_what_is_cached_can_be_read_while_redis_is_away_and_nothing_else() -> None:
    house = House()
    house.limiter.error = RedisAway("away", sent=False)
    assert (await house.call("GET", "/api/v1/agent.list")).status == 200
    assert (await house.call("GET", "/api/v1/session.list")).status == 503


async def test_damage_is_told_its_client_without_the_words_of_redis() -> None:
    house = House()
    house.limiter.error = TenantDamaged("WRONGTYPE secret")
    reply = await house.call("GET", "/api/v1/session.list")
    assert reply.fault == (409, "ORCH_SYS_003", "")
    assert "secret" not in reply.raw.decode()


async def test_errors_come_by_rfc_9457_where_that_is_asked_for() -> None:
    reply = await House().call("POST", CREATE, {}, {**bearer(), "Accept": "application/problem+json, */*"})
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.json
    assert (problem["status"], problem["code"], problem["type"]) == (
        400,
        "ORCH_VAL_001",
        "/docs#ORCH_VAL_001",
    )
    assert problem["details"] == [{"path": "$.agent_id", "message": "required field is missing"}]
    assert problem["correlation_id"] == reply.headers["X-Correlation-ID"]


@pytest.mark.parametrize("path", ["/health/live", "/api/v1/session.list", "/nothing", "/docs"])
async def test_every_answer_has_the_security_headers_once(path: str) -> None:
    headers = (await House().call("GET", path)).headers
    for name in ("X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy"):
        assert len(headers.getlist(name)) == 1
    assert "Strict-Transport-Security" not in headers
    house = House(settings=evolve(SETTINGS, public_url="https://orch.example"))
    assert "Strict-Transport-Security" in (await house.call("GET", path)).headers


async def test_only_origins_that_are_named_may_read() -> None:
    house = House(settings=evolve(SETTINGS, allowed_origins=(ORIGIN,)))
    allowed = await house.call("GET", "/api/v1/session.list", headers={**bearer(), "Origin": ORIGIN})
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "RateLimit" in allowed.headers["Access-Control-Expose-Headers"]
    other = await house.call("GET", "/api/v1/session.list", headers={**bearer(), "Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers
    assert other.headers["Vary"] == "Origin"
    nobody = await House().call("GET", "/api/v1/session.list", headers={**bearer(), "Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in nobody.headers


async def test_an_origin_may_be_named_for_every_port() -> None:
    house = House(settings=evolve(SETTINGS, allowed_origins=("http://localhost:*",)))
    for origin, allowed in (
        ("http://localhost:5173", True),
        ("http://localhost", True),
        ("http://localhost.x:80", False),
    ):
        reply = await house.call("GET", "/health", headers={"Origin": origin})
        assert ("Access-Control-Allow-Origin" in reply.headers) == allowed


@pytest.mark.parametrize("allowed", [(), ("https://other.example",)])
async def test_the_log_says_once_which_setting_keeps_a_page_out(allowed: tuple[str, ...]) -> None:
    house = House(settings=evolve(SETTINGS, allowed_origins=allowed))
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    with capture_logs() as logs:
        for _ in range(3):
            reply = await house.call("OPTIONS", CREATE, headers=asked)
            assert "Access-Control-Allow-Origin" not in reply.headers
        await house.call("OPTIONS", CREATE, headers={"Access-Control-Request-Method": "POST"})
    assert [(entry["event"], entry["origin"]) for entry in logs] == [("origin.refused", ORIGIN)]
    assert "ORCH_ALLOWED_ORIGINS" in logs[0]["hint"]


async def test_a_preflight_is_answered_without_a_token() -> None:
    house = House(settings=evolve(SETTINGS, allowed_origins=("*",)))
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    reply = await house.call("OPTIONS", CREATE, headers=asked)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in reply.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in reply.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"allowed_hosts": ("orch.local",)}, "ws://orch.local:8000/ws/v1/chat/"),
        ({"public_url": "https://orch.example/base/"}, "wss://orch.example/base/ws/v1/chat/"),
    ],
)
async def test_a_new_session_says_where_its_socket_is(settings: Any, url: str) -> None:
    house = House(settings=evolve(SETTINGS, **settings))
    reply = await house.call("POST", CREATE, BODY, {**bearer(), "Host": "orch.local:8000"})
    assert reply.data["websocket_url"] == url + reply.data["session_id"]


async def test_the_context_reaches_the_service_whole() -> None:
    house = House()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {**bearer(), "traceparent": trace, "X-Request-Priority": "0", "X-Forwarded-For": "203.0.113.9"}
    await house.call("POST", CHAT, {"session_id": await house.session(), "content": "hi"}, headers)
    [sent] = house.chat.sent
    ctx, turn = sent.ctx, sent.turn
    assert (str(ctx.trace), ctx.priority, turn.content) == (trace, 0, "hi")
    assert (ctx.message_id, ctx.idempotency_key) == (None, None)
    assert ctx.remote_address != "203.0.113.9"


async def ok() -> str | None:
    return None


async def ill() -> str | None:
    return "it is away"


async def stuck() -> str | None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("checks", "services", "path", "expected"),
    [
        ({"redis": ok}, {}, "/health/ready", (200, "ok")),
        ({"redis": ill}, {}, "/health/ready", (503, "unready")),
        ({"redis": ok}, {"query": ill}, "/health/ready", (200, "ok")),
        ({"redis": ok}, {"query": ill}, "/health", (200, "degraded")),
        ({"redis": ill}, {"query": ok}, "/health", (503, "unready")),
        ({"redis": ill}, {"query": ill}, "/health/live", (200, "ok")),
    ],
)
async def test_health_tells_unready_from_degraded(checks: Any, services: Any, path: str, expected: Any) -> None:
    reply = await House(health=Health(checks, services)).call("GET", path, headers={})
    assert (reply.status, reply.json["status"]) == expected


async def test_a_stuck_check_costs_less_than_a_second(autojump_clock: Any) -> None:
    house = House(health=Health({"redis": stuck, "consumer": stuck, "scripts": ok}, {"query": stuck}))
    started = trio.current_time()
    reply = await house.call("GET", "/health", headers={})
    assert trio.current_time() - started < 1
    checks = reply.json["checks"]
    assert [check["ok"] for check in checks.values()] == [False, False, True]
    assert "no answer" in checks["redis"]["reason"]
