"""What a client may say, and what it is told when it says something else."""

from typing import Any

import orjson
import pytest
from opentelemetry.trace import SpanKind

from orchestrator.errors import RateLimited
from orchestrator.models.common.principal import Role
from orchestrator.websocket import closing
from tests.support.eventually import eventually
from tests.support.spans import kept_spans, traceparent
from tests.websocket.stage import Client, Stage


async def complaint(client: Client) -> Any:
    """Return the data of the next frame, which is a `system.error`."""
    return (await client.next("system.error"))["data"]


async def test_a_message_is_answered_by_its_status(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("chat.message", {"content": "hi"}, correlation_id="corr-1", message_id="m7")
        frame = await client.next("chat.status_update")
    assert frame["correlation_id"] == "corr-1"
    assert frame["data"]["message_id"] == "m7"
    assert frame["data"]["status"] == "queued"
    [sent] = stage.chat.sent
    assert (sent.ctx.idempotency_key, sent.ctx.correlation_id, sent.turn.content) == ("m7", "corr-1", "hi")


async def test_a_message_that_came_before_is_answered_again_as_it_stands_now(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        for correlation_id, status in (("one", "queued"), ("two", "completed")):
            await client.say("chat.message", {"content": "hi"}, correlation_id=correlation_id, message_id="m7")
            frame = await client.next("chat.status_update")
            assert (frame["correlation_id"], frame["data"]["status"]) == (correlation_id, status)
            assert frame["offset"] == 1


async def test_a_ping_is_answered_with_both_clocks(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("system.ping", {"client_timestamp": 17}, correlation_id="corr-3")
        frame = await client.next("system.pong")
    assert frame["correlation_id"] == "corr-3"
    assert frame["data"]["client_timestamp"] == 17
    assert frame["data"]["server_timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("{", "$"),
        ("[]", "$"),
        (b"\x00", "$"),
        (b"", "$"),
        ("{}", "$.data"),
        ('{"data": {}}', "$.type"),
        ('{"data": {}, "type": {"domain": "chat", "action": "stream"}}', "$.type"),
        ('{"data": {}, "type": {"domain": "chat"}}', "$.type.action"),
        ('{"data": {}, "type": {"domain": "chat", "action": "message"}}', "$.data.content"),
        ('{"data": {"content": 1}, "type": {"domain": "chat", "action": "message"}}', "$.data.content"),
        ('{"data": {"x": 1}, "type": {"domain": "system", "action": "ping"}}', "$.data.x"),
        ('{"data": {}, "more": 1, "type": {"domain": "system", "action": "ping"}}', "$.more"),
        (
            '{"data": {"last_offset": -1, "epoch": "e"}, "type": {"domain": "session", "action": "sync"}}',
            "$.data.last_offset",
        ),
    ],
)
async def test_a_bad_frame_is_told_by_its_path_and_the_socket_stays(stage: Stage, raw: str | bytes, path: str) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.socket.send_message(raw)
        data = await complaint(client)
        assert data["error"]["code"] == "ORCH_VAL_001"
        assert data["severity"] == "warning"
        assert path in [detail["path"] for detail in data["error"]["details"]]
        await client.say("system.ping", {})
        await client.next("system.pong")


async def test_a_frame_of_another_version_is_refused_as_a_request_is(stage: Stage) -> None:
    ping = {"type": {"domain": "system", "action": "ping"}, "data": {}}
    async with stage.client() as client:
        await client.next("session.state_update")
        for version in ("1.1", None):
            await client.socket.send_message(orjson.dumps({**ping, "schema_version": version}).decode())
            await client.next("system.pong")
        await client.socket.send_message(orjson.dumps({**ping, "schema_version": "2.0"}).decode())
        error = (await complaint(client))["error"]
    assert (error["code"], error["details"][0]["path"]) == ("ORCH_VAL_002", "$.schema_version")


async def test_twenty_bad_frames_in_a_minute_close_the_socket(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        for _ in range(19):
            await client.socket.send_message("nonsense")
            await complaint(client)
        await client.say("system.ping", {})
        await client.next("system.pong")
        await client.socket.send_message("nonsense")
        assert await client.close_code() == 4400


async def test_a_flood_of_bad_frames_closes_the_socket_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "CLOSE_SECONDS", 0.2)
    async with await stage.raw_client() as stream:
        await stream.send_all(b"\x81\x81\x00\x00\x00\x00x" * 5000)
        received = b""
        while chunk := await stream.receive_some():
            received += chunk
    assert b"\x88" in received
    assert (4400).to_bytes(2, "big") + b"too many bad frames" in received
    await stage.until_open(0)


async def test_a_frame_over_a_mebibyte_closes_the_socket(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.socket.send_message("x" * (1024 * 1024 + 1))
        assert await client.close_code() == 1009


async def test_a_mebibyte_is_counted_in_bytes(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.socket.send_message("é" * (512 * 1024 + 1))
        assert await client.close_code() == 1009


async def test_a_rate_limit_is_told(stage: Stage) -> None:
    stage.chat.refusal = RateLimited("Too many requests.", retry_after_ms=500)
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("chat.message", {"content": "hi"}, message_id="m7", correlation_id="corr-4")
        data = await complaint(client)
    assert data["error"]["code"] == "ORCH_RATE_001"
    assert data["error"]["retry_after_ms"] == 500
    assert data["error"]["correlation_id"] == "corr-4"
    assert data["parent_id"] == "m7"
    assert data["is_recoverable"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("chat.cancel", {"message_id": "m9"}),
        ("tool.result", {"tool_call_id": "late", "result": {"status": "success"}}),
    ],
)
async def test_what_is_unknown_or_late_is_told(stage: Stage, name: str, data: Any) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say(name, data)
        assert (await complaint(client))["error"]["code"] == "ORCH_NOTF_001"


async def test_a_frame_needs_its_permission(stage: Stage) -> None:
    async with stage.client(token=stage.token(permissions=["session:read"])) as client:
        await client.next("session.state_update")
        await client.say("chat.message", {"content": "hi"})
        assert (await complaint(client))["error"]["code"] == "ORCH_AUTH_003"


async def test_a_frame_may_name_no_other_tenant(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("chat.message", {"content": "hi"}, tenant_id="other")
        assert (await complaint(client))["error"]["code"] == "ORCH_AUTH_002"
    assert not stage.chat.sent
    assert stage.audit.actions == ["frame.foreign"]


async def test_a_fault_of_the_service_is_told_without_its_inside(stage: Stage) -> None:
    stage.chat.refusal = ZeroDivisionError()
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("chat.message", {"content": "hi"})
        data = await complaint(client)
        assert data["error"]["code"] == "ORCH_SYS_001"
        assert "Zero" not in str(data)
        assert (data["severity"], data["is_recoverable"]) == ("error", False)
        await client.say("system.ping", {})
        await client.next("system.pong")


async def test_a_token_is_renewed_for_the_same_user_alone(stage: Stage) -> None:
    async with stage.client(token=stage.token(ttl=1.0)) as client:
        await client.next("session.state_update")
        for token in (stage.token("bob"), stage.token(tenant="other"), "nonsense"):
            await client.say("system.auth", {"token": token})
            assert (await complaint(client))["error"]["code"] in {"ORCH_AUTH_001", "ORCH_AUTH_002"}
        assert await client.close_code() == 4003


@pytest.mark.parametrize(
    "narrower",
    [
        {"permissions": ["session:read"]},
        {"permissions": ["chat:write", "chat:read"]},
        {"permissions": []},
        {"role": Role.READER},
    ],
)
async def test_a_token_that_gives_less_than_the_first_is_refused_and_the_socket_stays_as_it_was(
    stage: Stage, narrower: dict[str, Any]
) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        await client.say("system.auth", {"token": stage.token(**narrower)})
        data = await complaint(client)
        assert (data["error"]["code"], data["severity"]) == ("ORCH_AUTH_003", "warning")
        await client.say("chat.message", {"content": "hi"})
        await eventually("the message is sent", lambda: len(stage.chat.sent), lambda sent: sent == 1)


async def test_a_socket_that_sees_the_whole_tenant_is_not_renewed_by_a_users_token(stage: Stage) -> None:
    async with stage.client(token=stage.token(role=Role.OPERATOR)) as client:
        await client.next("session.state_update")
        await client.say("system.auth", {"token": stage.token()})
        assert (await complaint(client))["error"]["code"] == "ORCH_AUTH_003"
        for role in (Role.ADMIN, Role.OPERATOR):
            await client.say("system.auth", {"token": stage.token(role=role)})
            await client.next("system.authenticated")


async def test_a_token_that_gives_more_may_follow_and_the_first_again_after_it(stage: Stage) -> None:
    async with stage.client(token=stage.token(ttl=1.0, permissions=["session:read"])) as client:
        await client.next("session.state_update")
        tokens = (stage.token(), stage.token(permissions=["session:read"]))
        for one in tokens:
            await client.say("system.auth", {"token": one})
            await client.next("system.authenticated")
        await client.say("chat.message", {"content": "hi"})
        assert (await complaint(client))["error"]["code"] == "ORCH_AUTH_003"
        assert not stage.chat.sent


async def test_a_large_frame_is_not_read_beyond_the_rate_limit(stage: Stage) -> None:
    async with stage.client() as client:
        await client.next("session.state_update")
        stage.limiter.error = RateLimited("Too many requests.", retry_after_ms=100)
        await client.socket.send_message("{" * 20_000)
        assert (await complaint(client))["error"]["code"] == "ORCH_RATE_001"
        stage.limiter.error = None
        await client.socket.send_message("{" * 20_000)
        assert (await complaint(client))["error"]["code"] == "ORCH_VAL_001"


async def test_a_frame_that_asks_for_work_begins_a_trace_and_one_that_concerns_the_socket_does_not(
    stage: Stage,
) -> None:
    with kept_spans() as spans:
        async with stage.client() as client:
            await client.next("session.state_update")
            await client.say("system.ping", {"client_timestamp": 17})
            await client.next("system.pong")
            await client.say("chat.message", {"content": "hi"}, correlation_id="corr-1", message_id="m7")
            await client.next("chat.status_update")
            [sent] = stage.chat.sent
            await client.say("chat.cancel", {"message_id": "nowhere"})
            await eventually("it has a span", lambda: len(spans.all()) == 2)
    message, _ = spans.all()
    said = dict(message.attributes or {})
    assert (message.name, message.kind, message.parent) == ("frame chat.message", SpanKind.SERVER, None)
    assert (said["nooble.tenant_id"], said["nooble.correlation_id"]) == ("acme", "corr-1")
    assert str(sent.ctx.trace) == traceparent(message)
