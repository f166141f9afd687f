"""Plans that are undone when they fail, from the request to the dead letters."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from tests.services.workflows.house import House, open_house
from tests.support.credentials import SECRET

OPERATOR = {"Authorization": f"Bearer {create_token(SECRET, 'acme', 'op', Role.OPERATOR)}"}
GIVEN = {"id": "c-1", "note": "m-1"}
OPEN = {
    "service": "conversation",
    "operation": "create",
    "parameters": {"user_id": "ann", "agent_id": "echo", "conversation_id": "$.input.id"},
}
NOTE = {
    "service": "conversation",
    "operation": "append",
    "depends_on": ["open"],
    "parameters": {
        "conversation_id": "$.calls.open.result.conversation_id",
        "message_id": "$.input.note",
        "role": "user",
        "content": "Hello",
    },
    "compensate": {
        "service": "conversation",
        "operation": "delete",
        "retry_policy": "once",
        "parameters": {"conversation_id": "$.input.id", "message_id": "$.calls.note.result.message_id"},
    },
}
FAIL = {
    "service": "tool_registry",
    "operation": "execute",
    "depends_on": ["note"],
    "parameters": {"tool_id": "calculator", "parameters": {"expression": "1 / 0"}},
}
READ = {"service": "conversation", "operation": "messages", "parameters": {"conversation_id": "$.input.id"}}
PLAN = {"calls": {"open": OPEN, "note": NOTE, "fail": FAIL}, "on_failure": "compensate"}


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url) as house:
        yield house


async def run(house: House, plan: Any) -> Any:
    return await house.call("POST", "workflow.execute", {"plan": plan, "input": GIVEN, "mode": "wait"})


async def messages(house: House) -> list[Any]:
    """What is in the conversation."""
    found: list[Any] = (await run(house, {"calls": {"read": READ}})).data["result"]["results"]["read"]["messages"]
    return found


async def test_what_a_plan_has_done_is_undone_at_the_services_when_it_fails(house: House) -> None:
    failed = await run(house, PLAN)
    assert failed.status == 502, failed.text
    assert failed.paths == ["$.plan.calls.fail"]
    assert await messages(house) == []


async def test_what_could_not_be_undone_is_told_and_lies_in_the_dead_letters(house: House, redis_url: str) -> None:
    house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "conversation", operation="delete"))
    failed = await run(house, PLAN)
    assert failed.paths == ["$.plan.calls.fail", "$.plan.calls.note"]
    assert "is left" in failed.json["error"]["details"][1]["message"]
    assert len(await messages(house)) == 1
    async with open_redis(redis_url) as redis:
        ((_, letter),) = await redis.xrange(Keys().dead_letters("acme"))
    assert orjson.loads(letter[b"error"])["details"] == failed.json["error"]["details"]
    (task,) = [task for task in (await house.call("GET", "task.list")).data["items"] if task["status"] == "failed"]
    results = await house.results(task["task_id"])
    assert (results["result"]["undone"], [*results["result"]["left"]]) == ([], ["note"])


async def test_a_plan_that_was_undone_is_done_again_from_its_beginning(house: House) -> None:
    await run(house, PLAN)
    (task,) = (await house.call("GET", "task.list")).data["items"]
    replay = f"{house.url}/api/v1/task.replay/{task['task_id']}"
    answer = (await house.http.post(replay, json={"from_call": "fail"}, headers=OPERATOR)).json()["data"]
    assert answer["reused"] == []
