"""Refusals that browsers can see: asked for by `?close=1` or `?token=`, they are told in a frame and a close code."""

from time import time
from typing import Any, NoReturn

import orjson
import pytest
import structlog
import trio
import trio_websocket
from structlog.testing import CapturingLogger

from orchestrator.websocket import closing
from tests.server.stage import handshake
from tests.support.documented import validator
from tests.support.eventually import PATIENCE
from tests.websocket.stage import Stage, open_stage

SESSION = "/ws/v1/chat/s1"


async def told(stage: Stage, path: str, **options: Any) -> tuple[int, Any]:
    """Open a socket that is refused; returns the close code, and the error of its one frame."""
    async with stage.client(path, **options) as client:
        frame = await client.next("system.error")
        with pytest.raises(trio_websocket.ConnectionClosed) as closed, trio.fail_after(PATIENCE):
            await client.socket.get_message()
    assert closed.value.reason is not None
    assert frame["data"]["error"]["correlation_id"] == frame["correlation_id"]
    return int(closed.value.reason.code), frame["data"]["error"]


@pytest.mark.parametrize(
    ("path", "options", "close", "error"),
    [
        (f"{SESSION}?close=1", {"anonymous": True}, 4001, "ORCH_AUTH_001"),
        (f"{SESSION}?token=", {"anonymous": True}, 4003, "ORCH_AUTH_001"),
        (f"{SESSION}?token=a.b.c", {"anonymous": True}, 4003, "ORCH_AUTH_001"),
        (f"{SESSION}?close=1", {"token": "a.b.c"}, 4003, "ORCH_AUTH_001"),
        (f"{SESSION}?close=1", {"headers": [("Origin", "https://evil.example")]}, 4003, "ORCH_AUTH_003"),
        (f"{SESSION}?close=1&last_offset=x", {}, 4400, "ORCH_VAL_003"),
        ("/ws/v1/chat/s3?close=1", {}, 4004, "ORCH_NOTF_001"),
        ("/ws/v1/chat/s9?close=1", {}, 4004, "ORCH_NOTF_001"),
        ("/ws/v1/chat/s2?close=1", {}, 1000, "ORCH_SESS_001"),
        ("/ws/v1/workflow/t9?close=1", {}, 4003, "ORCH_AUTH_003"),
        ("/ws/v1/notifications?close=1", {"anonymous": True}, 4001, "ORCH_AUTH_001"),
        ("/internal/v1/ws/task_updates?close=1", {"anonymous": True}, 4001, "ORCH_AUTH_001"),
    ],
)
async def test_a_refusal_is_told_by_a_frame_and_a_close_code(
    stage: Stage, path: str, options: dict[str, Any], close: int, error: str
) -> None:
    if "workflow" in path:
        options = {"token": stage.token(permissions=["session:read"])}
    code, told_error = await told(stage, path, **options)
    assert (code, told_error["code"]) == (close, error)
    assert len(stage.manager) == 0


async def test_an_expired_and_a_revoked_token_are_told(stage: Stage) -> None:
    expired = stage.token(ttl=-60)
    for path, options in (
        (f"{SESSION}?token={expired}", {"anonymous": True}),
        (f"{SESSION}?close=1", {"token": expired}),
    ):
        code, error = await told(stage, path, **options)
        assert (code, error["message"]) == (4003, "The token has expired.")
    token = stage.token()
    async with stage.client(f"{SESSION}?token={token}", anonymous=True) as client:
        await client.next("session.state_update")
    stage.revocations.add(user_id="ada", before_ms=round(time() * 1000) + 1000)
    code, error = await told(stage, f"{SESSION}?token={token}", anonymous=True)
    assert (code, error["message"]) == (4003, "The token has been revoked.")
    assert stage.audit.actions == ["auth.failed"] * 3


async def test_a_full_process_is_told_with_the_time_to_wait(redis_url: str) -> None:
    async with open_stage(redis_url, ws_connections=1) as stage, stage.client() as client:
        await client.next("session.state_update")
        code, error = await told(stage, f"{SESSION}?close=1")
        assert (code, error["code"], error["retry_after_ms"]) == (4029, "ORCH_RATE_003", 1000)


@pytest.mark.parametrize("close", ["", "?close=0", "?close=true"])
async def test_others_are_refused_before_the_upgrade(stage: Stage, close: str) -> None:
    with pytest.raises(trio_websocket.ConnectionRejected) as refused:
        async with stage.client(SESSION + close, anonymous=True):
            pass
    assert refused.value.status_code == 401


async def test_a_subprotocol_that_is_offered_is_selected_for_a_refusal_too(stage: Stage) -> None:
    offered = ["nooble.v1", "bearer.a.b.c"]
    async with stage.client(f"{SESSION}?close=1", anonymous=True, subprotocols=offered) as client:
        assert client.socket.subprotocol == "nooble.v1"
        assert await client.close_code() == 4003


async def test_one_who_is_refused_and_stays_is_dropped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "CLOSE_SECONDS", 0.2)
    async with await trio.open_tcp_stream(stage.host, stage.port) as stream:
        await stream.send_all(handshake(f"{SESSION}?close=1"))
        answer = b""
        with trio.fail_after(PATIENCE):
            while chunk := await stream.receive_some():
                answer += chunk
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"ORCH_AUTH_001" in answer


def fail() -> NoReturn:
    raise RuntimeError("a fault of the service")


async def test_the_token_of_a_url_is_in_no_log_and_no_trail(redis_url: str) -> None:
    logger = CapturingLogger()
    kept = structlog.get_config()
    structlog.configure(logger_factory=lambda *_: logger)
    try:
        async with open_stage(redis_url) as stage:
            token, other = stage.token(), stage.token(ttl=-60)
            async with stage.client(f"{SESSION}?token={token}", anonymous=True) as client:
                await client.next("session.state_update")
                await client.socket.send_message("{")
                await client.next("system.error")
            for path in (
                f"{SESSION}?token={other}",
                f"/ws/v1/chat/s3?token={token}",
                f"{SESSION}?last_offset=x&token={token}",
            ):
                await told(stage, path, anonymous=True)
            stage.sessions.on_connected = fail
            code, _ = await told(stage, f"{SESSION}?token={token}", anonymous=True)
            assert code == 1011
            kept_somewhere = f"{logger.calls} {stage.audit!r}"
    finally:
        structlog.configure(**kept)
    assert "a fault of the service" in kept_somewhere
    for secret in (token, other):
        assert secret not in kept_somewhere
        assert secret.rpartition(".")[2] not in kept_somewhere


async def test_a_client_of_the_other_dialect_is_refused_in_it_by_a_close_code(stage: Stage) -> None:
    for offered, close, code in (
        (["domain-action"], 4001, "SYSTEM.AUTH_FAILED"),
        (["domain-action", f"bearer.{stage.token(ttl=-60)}"], 4003, "SYSTEM.AUTH_EXPIRED"),
    ):
        async with stage.client(SESSION, anonymous=True, subprotocols=offered) as client:
            assert client.socket.subprotocol == "domain-action"
            frame = orjson.loads(await client.socket.get_message())
            validator("domain_action", "system.error").validate(frame)
            assert (frame["data"]["code"], frame["status"]["code"]) == (code, 401)
            assert await client.close_code() == close


async def test_a_fault_of_the_service_closes_a_socket_of_the_other_dialect_by_the_code_of_the_documents(
    stage: Stage,
) -> None:
    stage.sessions.on_connected = fail
    async with stage.client(SESSION, subprotocols=["domain-action"]) as refused:
        frame = orjson.loads(await refused.socket.get_message())
        assert (frame["data"]["code"], frame["status"]["code"]) == ("ORCH_SYS_001", 500)
        assert await refused.close_code() == 4500
