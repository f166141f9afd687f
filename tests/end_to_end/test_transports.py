"""All services, each asked over HTTP and through its queue, from a client's request to its answer."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import trio

from tests.end_to_end.stack import INTERNAL_KEY, Stack, open_stack
from tests.support.eventually import eventually
from tests.support.http import loopback_client

Use = Callable[[Stack], Awaitable[None]]


async def internal(stack: Stack, route: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": "acme"}
    async with loopback_client(base_url=stack.node.url, timeout=30) as client:
        return await client.post(f"/internal/v1/{route}", json=body, headers=headers)


async def post(stack: Stack, route: str, body: dict[str, Any]) -> dict[str, Any]:
    async with stack.client() as client:
        answer: dict[str, Any] = (await client.post(f"/api/v1/{route}", json=body)).json()
    return answer


async def conversation(stack: Stack) -> None:
    """The messages of a turn are stored there, read from there, and taken out."""
    session_id = await stack.session()
    said = (await stack.say(session_id, "remember this", mode="wait"))["data"]
    assert await stack.history(session_id) == [("user", "remember this"), ("assistant", "remember this")]
    async with stack.client() as client:
        gone = await client.delete(f"/api/v1/chat.delete/{said['message_id']}")
    assert gone.status_code == 200, gone.text
    for operation in ("create", "append", "context", "messages", "delete"):
        assert stack.sandbox.calls["conversation", operation] or operation == "context", operation


async def agent_management(stack: Stack) -> None:
    """Agents are listed, and one is looked up for a turn."""
    async with stack.client() as client:
        listed = (await client.get("/api/v1/agent.list")).json()["data"]["items"]
    assert "echo" in {agent["agent_id"] for agent in listed}
    refused = await post(stack, "session.create", {"agent_id": "nobody"})
    assert refused["error"]["code"] == "ORCH_NOTF_001"


async def agent_execution(stack: Stack) -> None:
    """An agent's answer streams through, piece by piece."""
    session_id = await stack.session()
    async with stack.client() as client:
        body = {"session_id": session_id, "content": "one two three four", "mode": "stream"}
        async with client.stream("POST", "/api/v1/chat.message", json=body) as response:
            text = "".join([piece async for piece in response.aiter_text()])
    chunks = [orjson.loads(line[5:])["data"] for line in text.split("\n") if line.startswith("data:")]
    assert "".join(chunk.get("chunk", "") for chunk in chunks) == "one two three four"


async def tool_registry(stack: Stack) -> None:
    """An agent uses a tool, and so does a user."""
    session_id = await stack.session("calculator")
    answer = await stack.say(session_id, "6 * 7", mode="wait")
    assert not answer.get("error"), answer
    assert "42" in answer["data"]["content"]
    ran = await post(stack, "tool.execute", {"tool_id": "calculator", "parameters": {"expression": "6 * 7"}})
    assert "42" in str(ran["data"])


async def workflow_engine(stack: Stack) -> None:
    """A workflow runs there, and its steps run here."""
    body = {"workflow_id": "arithmetic", "input": {"expression": "6 * 7"}, "mode": "wait"}
    answer = await post(stack, "workflow.execute", body)
    assert answer["data"]["status"] == "completed", answer
    assert "42" in str(answer["data"])


async def query(stack: Stack) -> None:
    """A question is answered whole, and as a stream."""
    whole = await internal(stack, "query.generate", {"query": "What is a lease?", "collection_id": "docs"})
    assert whole.json()["data"]["data"]["response"]
    streamed = await internal(
        stack, "query.generate", {"query": "What is a lane?", "collection_id": "docs", "stream": True}
    )
    lines = [orjson.loads(line) for line in streamed.content.splitlines() if line]
    assert len(lines) > 1
    assert lines[-1]["metadata"]["token_usage"]["total_tokens"] > 0


async def embedding(stack: Stack) -> None:
    """Texts become vectors."""
    answer = (await internal(stack, "embedding.create", {"texts": ["a lease", "a lane"]})).json()
    assert len(answer["data"]["embeddings"]) == 2


USES: tuple[Use, ...] = (
    conversation,
    agent_management,
    agent_execution,
    tool_registry,
    workflow_engine,
    query,
    embedding,
)
"""Of each service; they share one stack, for a start takes longer than they do."""


@pytest.mark.parametrize("transport", ["http", "queue"])
async def test_each_of_the_seven_services_is_used_through_its_transport(tmp_path: Path, transport: str) -> None:
    async with open_stack(tmp_path, transport=transport) as stack:
        await stack.start()
        for use in USES:
            with trio.fail_after(20):
                await use(stack)
            assert any(count for (service, _), count in stack.sandbox.calls.items() if service == use.__name__)


async def test_a_turn_that_is_cancelled_is_cancelled_at_the_service_too(tmp_path: Path) -> None:
    async with open_stack(tmp_path, transport="queue") as stack:
        await stack.start()
        session_id = await stack.session()
        accepted = (await stack.say(session_id, "echo 20000 words"))["data"]
        calls = stack.sandbox.calls
        await eventually("the agent has begun", lambda: calls["agent_execution", "execute"])
        async with stack.client() as client:
            await client.post(f"/api/v1/chat.cancel/{accepted['message_id']}", json={})
        await eventually("the agent is told to stop", lambda: calls["agent_execution", "cancel"])
