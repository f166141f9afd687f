"""What an agent spends in a turn is told apart by user, session and agent, and stands in the turn's timeline."""

from pathlib import Path

import httpx

from orchestrator.models.common.principal import Role
from tests.end_to_end.stack import Stack, open_stack


async def rows(stack: Stack, group_by: str) -> dict[str, tuple[int, int]]:
    """Return calls and tokens by what they are grouped by."""
    async with stack.client(stack.token(role=Role.OPERATOR)) as client:
        answer: httpx.Response = await client.get("/api/v1/usage.get", params={"group_by": group_by})
    return {item["key"]: (item["requests"], item["total_tokens"]) for item in answer.json()["data"]["items"]}


async def test_a_turn_is_paid_by_its_user_in_its_session(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        session_id = await stack.session("docs-guide")
        answer = await stack.say(session_id, "How do I drain a tenant?", mode="wait", timeout_ms=20_000)
        assert answer["data"]["content"]
        spent = stack.sandbox.spent.of("acme")
        whole = (spent["requests"], spent["total_tokens"])
        assert await rows(stack, "user") == {"ann": whole}
        assert await rows(stack, "session") == {session_id: whole}
        by_agent = await rows(stack, "agent")
        assert by_agent["docs-guide"][0] == 1
        async with stack.client() as client:
            trace = await client.get(f"/api/v1/task.trace/{answer['correlation_id']}")
        steps = [step["detail"] for step in trace.json()["data"]["steps"] if step["step"] == "gateway"]
        assert [step.split()[0] for step in steps] == ["embed", "generate"]
