"""An API key and a tenant are enough to follow what users do, and to chat: sockets are opened by tickets."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Final

import httpx
import pytest
import trio
from trio_websocket import open_websocket_url

from tests.cli.runs import close_pipes, run_cli, start_cli
from tests.end_to_end.stack import Stack, open_stack

OPS_KEY: Final = "key-of-operators"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path) as opened:
        await opened.start(api_keys=f"ops:admin:{sha256(OPS_KEY.encode()).hexdigest()}")
        yield opened


def by_key(stack: Stack, tenant: str = "acme") -> dict[str, str]:
    return {"ORCH_API_URL": stack.node.url, "ORCH_API_KEY": OPS_KEY, "ORCH_TENANT": tenant}


async def test_a_session_of_a_user_is_watched_to_its_end(stack: Stack, tmp_path: Path) -> None:
    session = await stack.session()
    await stack.say(session, "good morning")
    watching = await start_cli(tmp_path, "sessions", "watch", session, "--from-start", **by_key(stack))
    seen = b""
    with trio.fail_after(40):
        assert watching.stdout is not None
        while b'"action": "completed"' not in seen:
            seen += await watching.stdout.receive_some()
        closed = await run_cli(tmp_path, "sessions", "close", session, "--yes", **by_key(stack))
        assert closed.code == 0, closed.err
        assert await watching.wait() == 0
    await close_pipes(watching)
    assert b"good morning" in seen
    trail = await run_cli(tmp_path, "audit", "--action", "session.ticket", **by_key(stack))
    [entry] = map(json.loads, trail.out.splitlines())
    assert (entry["detail"], entry["outcome"]) == (session, "ok")
    elsewhere = await run_cli(tmp_path, "sessions", "watch", session, **by_key(stack, "globex"))
    assert elsewhere.code == 3


async def test_a_chat_needs_no_token(stack: Stack, tmp_path: Path) -> None:
    asked = await run_cli(tmp_path, "chat", "--agent", "echo", "-m", "good night", **by_key(stack))
    assert (asked.code, asked.out) == (0, "good night\n")
    again = await run_cli(tmp_path, "chat", "--continue", "-m", "and then", "-o", "json", **by_key(stack))
    assert (again.code, json.loads(again.out)["content"]) == (0, "and then")
    [session] = map(json.loads, (await run_cli(tmp_path, "sessions", "list", **by_key(stack))).out.splitlines())
    assert session["user_id"] == "api-key.ops"


async def test_a_ticket_of_an_operator_opens_a_socket_that_only_reads(stack: Stack) -> None:
    session, headers = await stack.session(), {"X-API-Key": OPS_KEY, "X-Tenant-ID": "acme"}
    async with httpx.AsyncClient(base_url=stack.node.url, headers=headers, trust_env=False) as client:
        made = await client.post(f"/internal/v1/session.ticket/{session}", json={})
        url = f"{stack.node.url.replace('http', 'ws', 1)}/ws/v1/chat/{session}?ticket={made.json()['data']['ticket']}"
        with trio.fail_after(20):
            async with open_websocket_url(url) as socket:
                said = {"type": {"domain": "chat", "action": "message"}, "data": {"content": "in the user's name"}}
                await socket.send_message(json.dumps(said))
                frame = json.loads(await socket.get_message())
                while frame["type"]["action"] != "error":
                    frame = json.loads(await socket.get_message())
            assert frame["data"]["error"]["code"] == "ORCH_AUTH_003"
        history = await client.get(f"/internal/v1/chat.history/{session}")
    assert history.json()["data"]["items"] == []
