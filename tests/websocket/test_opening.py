"""The handshake: who may open a socket, and what the others are told."""

from typing import Any

import orjson
import pytest
import trio
from trio_websocket import ConnectionRejected

from tests.server.stage import TEXT, frame, handshake
from tests.support.documented import validator
from tests.websocket.stage import Stage, open_stage

PROTOCOL = "nooble.v1"


async def refusal(stage: Stage, path: str = "/ws/v1/chat/s1", **options: Any) -> tuple[int, Any, dict[str, str]]:
    """Be refused; returns the status, the body and the headers."""
    with pytest.raises(ConnectionRejected) as caught:
        async with stage.client(path, **options):
            pass
    rejected = caught.value
    headers = {name.decode().lower(): value.decode() for name, value in rejected.headers or ()}
    return rejected.status_code, orjson.loads(rejected.body or b""), headers


async def test_the_first_frame_says_where_the_session_stands(stage: Stage) -> None:
    await stage.log.chunk(1)
    async with stage.client(headers=[("X-Correlation-ID", "corr-1")]) as client:
        frame = await client.next("session.state_update")
    assert frame["offset"] == 1
    assert frame["epoch"] == "e1"
    assert frame["correlation_id"] == "corr-1"
    assert frame["tenant_id"] == "acme"
    assert frame["data"] == {
        "session_id": "s1",
        "state": "ACTIVE",
        "state_code": 20,
        "offset": 1,
        "epoch": "e1",
        "recovered": True,
        "active_task_id": None,
        "agent_id": "agent",
        "agent_version": None,
        "status": "active",
        "event": None,
    }


async def test_a_token_may_come_as_subprotocol(stage: Stage) -> None:
    offered = [PROTOCOL, f"bearer.{stage.token()}"]
    async with stage.client(anonymous=True, subprotocols=offered) as client:
        await client.next("session.state_update")
        assert client.socket.subprotocol == PROTOCOL


async def test_a_ticket_opens_one_socket(stage: Stage) -> None:
    stage.tickets.give("abc", "s1")
    async with stage.client("/ws/v1/chat/s1?ticket=abc", anonymous=True) as client:
        await client.next("session.state_update")
    status, body, _ = await refusal(stage, "/ws/v1/chat/s1?ticket=abc", anonymous=True)
    assert (status, body["error"]["code"]) == (401, "ORCH_AUTH_001")


async def test_a_ticket_opens_no_other_session(stage: Stage) -> None:
    stage.tickets.give("abc", "s3")
    assert (await refusal(stage, "/ws/v1/chat/s1?ticket=abc", anonymous=True))[0] == 401


async def test_without_credentials_there_is_no_upgrade(stage: Stage) -> None:
    status, body, headers = await refusal(stage, anonymous=True, headers=[("X-Correlation-ID", "corr-2")])
    assert status == 401
    assert body["data"] is None
    assert body["error"]["code"] == "ORCH_AUTH_001"
    assert body["error"]["correlation_id"] == "corr-2"
    assert body["status"] == {"code": 401, "message": "Unauthorized"}
    assert headers["content-type"] == "application/json"
    assert stage.audit.actions == ["auth.failed"]


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
async def test_a_bad_token_is_refused(stage: Stage, token: str) -> None:
    assert (await refusal(stage, token=token))[0] == 401
    assert (await refusal(stage, anonymous=True, subprotocols=[PROTOCOL, f"bearer.{token}"]))[0] == 401


async def test_an_expired_token_is_refused(stage: Stage) -> None:
    assert (await refusal(stage, token=stage.token(ttl=-60)))[0] == 401


async def test_a_token_without_the_permission_is_refused(stage: Stage) -> None:
    status, body, _ = await refusal(stage, token=stage.token(permissions=["chat:write"]))
    assert (status, body["error"]["code"]) == (403, "ORCH_AUTH_003")


async def test_unknown_and_foreign_sessions_look_the_same(stage: Stage) -> None:
    told = []
    for session_id in ("s3", "s9"):
        status, body, _ = await refusal(stage, f"/ws/v1/chat/{session_id}")
        told.append((status, body["error"]["code"], body["error"]["message"].replace(session_id, "")))
    status, body, _ = await refusal(stage, token=stage.token(tenant="other"))
    told.append((status, body["error"]["code"], body["error"]["message"].replace("s1", "")))
    assert told[0][:2] == (404, "ORCH_NOTF_001")
    assert told[0] == told[1] == told[2]


async def test_an_id_that_no_session_can_have_is_not_found(stage: Stage) -> None:
    assert (await refusal(stage, "/ws/v1/chat/%7Bs1%7D"))[0] == 404


async def test_a_closed_session_is_gone(stage: Stage) -> None:
    status, body, _ = await refusal(stage, "/ws/v1/chat/s2")
    assert (status, body["error"]["code"]) == (410, "ORCH_SESS_001")


@pytest.mark.parametrize("offset", ["-1", "x", "1.5", "", "9" * 20])
async def test_a_bad_offset_is_refused_with_its_path(stage: Stage, offset: str) -> None:
    status, body, _ = await refusal(stage, f"/ws/v1/chat/s1?last_offset={offset}&epoch=e1")
    assert (status, body["error"]["code"]) == (400, "ORCH_VAL_003")
    assert body["error"]["details"][0]["path"] == "$.query.last_offset"


async def test_pages_of_other_sites_are_refused(stage: Stage) -> None:
    status, body, _ = await refusal(stage, headers=[("Origin", "https://evil.example")])
    assert (status, body["error"]["code"]) == (403, "ORCH_AUTH_003")
    assert "ORCH_ALLOWED_ORIGINS" in body["error"]["message"]
    detail = {"path": "$.headers.Origin", "message": "'https://evil.example' is not in ORCH_ALLOWED_ORIGINS"}
    assert body["error"]["details"] == [detail]
    assert (await refusal(stage, headers=[("Origin", "null")]))[0] == 403


async def test_pages_of_the_same_host_may_connect(stage: Stage) -> None:
    async with stage.client(headers=[("Origin", f"http://{stage.host}:{stage.port}")]) as client:
        await client.next("session.state_update")


async def test_pages_of_allowed_origins_may_connect(redis_url: str) -> None:
    async with (
        open_stage(redis_url, allowed_origins=("https://app.example",)) as stage,
        stage.client(headers=[("Origin", "https://app.example")]) as client,
    ):
        await client.next("session.state_update")


async def test_pages_of_every_port_may_connect_where_the_setting_says_so(redis_url: str) -> None:
    async with open_stage(redis_url, allowed_origins=("http://localhost:*", "null")) as stage:
        for origin in ("http://localhost:5173", "http://localhost", "null"):
            async with stage.client(headers=[("Origin", origin)]) as client:
                await client.next("session.state_update")
        for origin in ("https://localhost:5173", "http://localhost.evil.example:80", "http://localhost:", "http://x"):
            assert (await refusal(stage, headers=[("Origin", origin)]))[0] == 403


@pytest.mark.parametrize("limits", [{"ws_connections": 1}, {"ws_max_connections": 1}])
async def test_there_are_only_so_many_sockets(redis_url: str, limits: dict[str, int]) -> None:
    async with open_stage(redis_url, **limits) as stage:
        async with stage.client() as client:
            await client.next("session.state_update")
            status, body, headers = await refusal(stage)
            assert (status, body["error"]["code"]) == (429, "ORCH_RATE_003")
            assert headers["retry-after"] == "1"
        await stage.until_open(0)
        async with stage.client() as client:
            await client.next("session.state_update")


async def test_a_refused_socket_leaves_no_subscription(stage: Stage) -> None:
    for path in ("/ws/v1/chat/s2", "/ws/v1/chat/s3"):
        await refusal(stage, path)
    for session_id in ("s2", "s3"):
        channel = f"orchestrator:events:acme:{session_id}"
        reply: Any = await stage.redis.execute_command("PUBSUB", "CHANNELS", channel)
        assert not reply


@pytest.mark.parametrize("turns", range(12))
async def test_a_frame_that_comes_while_the_handshake_is_refused_harms_no_other(stage: Stage, turns: int) -> None:
    async with stage.client() as other:
        await other.next("session.state_update")
        async with await trio.open_tcp_stream(stage.host, stage.port) as stream:
            await stream.send_all(handshake("/ws/v1/chat/s1"))
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            await stream.send_all(frame(TEXT, b"{}"))
            answer = b""
            while chunk := await stream.receive_some():
                answer += chunk
            assert answer.startswith(b"HTTP/1.1 401 ")
        await stage.log.chunk(1)
        await other.next("chat.stream")


async def test_several_lines_of_subprotocols_count_together(stage: Stage) -> None:
    async with await trio.open_tcp_stream(stage.host, stage.port) as stream:
        offered = [PROTOCOL, f"bearer.{stage.token()}"]
        await stream.send_all(handshake("/ws/v1/chat/s1", sec_websocket_protocol=offered))
        answer = b""
        while b"session_id" not in answer:
            answer += await stream.receive_some()
        assert b"sec-websocket-protocol: nooble.v1" in answer.lower()


async def test_a_client_may_choose_the_other_dialect_and_others_keep_theirs(stage: Stage) -> None:
    offered = ["domain-action", f"bearer.{stage.token()}"]
    async with (
        stage.client(anonymous=True, subprotocols=offered) as guided,
        stage.client() as client,
    ):
        assert guided.socket.subprotocol == "domain-action"
        for one in (guided, client):
            await one.next("session.state_update")
        await stage.log.chunk(1)
        piece = orjson.loads(await guided.socket.get_message())
        validator("domain_action", "chat.stream").validate(piece)
        own = await client.next("chat.stream")
        assert piece["data"]["chunk"]["content"] == own["data"]["chunk"]
        assert (piece["data"]["session_id"], piece["offset"], piece["message_id"]) == ("s1", 1, own["message_id"])
