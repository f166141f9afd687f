"""Runs by every id that stands for one: task, batch, execution of the engine, workflow."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.store.keys import Keys
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.redis.connection import open_redis
from tests.services.workflows.house import House, open_house
from tests.support.eventually import eventually


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url) as house:
        yield house


async def execution_of(redis_url: str, task_id: str) -> str:
    """Return the engine's own name of a run, once it has begun it."""
    async with open_redis(redis_url) as redis:
        store = DelegationStore(redis, Keys(), 1000)

        async def look() -> list[str]:
            return [one.execution_id for one in await store.of_task("acme", task_id) if one.execution_id]

        return (await eventually("the engine runs it", look, bool))[0]


async def a_batch(house: House, **fields: Any) -> str:
    items = [{"content": text} for text in ("one", "two", "three")]
    made = await house.call("POST", "batch.create", {"items": items, "agent_id": "echo", **fields})
    return str(made.data["batch_id"])


async def test_an_execution_of_the_engine_names_the_run_that_it_belongs_to(house: House, redis_url: str) -> None:
    task_id = await house.start("approval", {"text": "The news"})
    await house.until(task_id, "waiting")
    execution_id = await execution_of(redis_url, task_id)
    status = await house.status(execution_id)
    assert (status["task_id"], status["workflow_id"], status["status"]) == (task_id, "approval", "waiting")
    assert (await house.call("GET", f"workflow.status/{execution_id}", user="bob")).fault == (404, "ORCH_NOTF_001")
    ticket = (await house.call("POST", f"session.ticket/{execution_id}")).data["ticket"]
    async with house.socket(f"/ws/v1/workflow/{execution_id}?ticket={ticket}", user=None) as client:
        assert (await client.frame())["data"]["task_id"] == task_id
    assert (await house.call("POST", f"session.ticket/{execution_id}", user="bob")).fault == (404, "ORCH_NOTF_001")
    stopped = await house.call("DELETE", f"workflow.cancel/{execution_id}")
    assert stopped.data == {"task_id": task_id, "cancelled": True}


async def test_a_workflow_names_the_newest_run_of_who_asks(house: House) -> None:
    await house.until(await house.start("arithmetic", {"expression": "1 + 1"}), "completed")
    newest = await house.start("arithmetic", {"expression": "2 + 2"})
    await house.until(newest, "completed")
    assert (await house.status("arithmetic"))["task_id"] == newest
    assert (await house.results("arithmetic"))["task_id"] == newest
    assert (await house.call("GET", "workflow.status/arithmetic", user="bob")).fault == (404, "ORCH_NOTF_001")


async def test_a_workflow_is_stopped_by_its_own_id_while_one_run_alone_is_open(house: House) -> None:
    first = await house.start("approval", {"text": "one"})
    second = await house.start("approval", {"text": "two"})
    refused = await house.call("DELETE", "workflow.cancel/approval")
    assert (refused.fault, refused.paths) == ((409, "ORCH_SESS_002"), ["$.path.task_id"])
    await house.call("DELETE", f"workflow.cancel/{first}")
    await house.until(first, "cancelled")
    assert (await house.call("DELETE", "workflow.cancel/approval")).data["task_id"] == second
    await house.until(second, "cancelled")
    assert (await house.call("DELETE", "workflow.cancel/approval")).fault == (409, "ORCH_SESS_002")


async def test_a_batch_is_shown_and_stopped_as_a_run(house: House) -> None:
    batch_id = await a_batch(house)
    done = await house.until(batch_id, "completed")
    assert (done["workflow_id"], done["steps_completed"], done["steps_total"], done["progress"]) == (batch_id, 3, 3, 1)
    results = await house.results(batch_id)
    assert [item["result"]["content"] for item in results["items"]] == ["one", "two", "three"]
    page = await house.call("GET", f"workflow.results/{batch_id}?limit=2")
    assert len(page.data["items"]) == 2
    cursor = page.json["meta"]["pagination"]["next_cursor"]
    rest = await house.call("GET", f"workflow.results/{batch_id}?limit=2&cursor={cursor}")
    assert [item["index"] for item in rest.data["items"]] == [2]
    assert (await house.call("DELETE", f"workflow.cancel/{batch_id}")).data["cancelled"] is False
    assert (await house.call("GET", f"workflow.results/{batch_id}", user="bob")).fault == (404, "ORCH_NOTF_001")


async def test_a_batch_of_a_workflow_is_no_run_of_that_workflow_itself(house: House) -> None:
    items = [{"input": {"expression": "1 + 1"}}]
    made = await house.call("POST", "batch.create", {"items": items, "workflow_id": "arithmetic"})
    await house.until(made.data["batch_id"], "completed")
    assert (await house.call("GET", "workflow.status/arithmetic")).fault == (404, "ORCH_NOTF_001")
    assert (await house.status(made.data["batch_id"]))["workflow_id"] == "arithmetic"


async def test_a_turn_is_shown_as_a_run_of_one_step(house: House) -> None:
    session = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    task_id = (await house.call("POST", "chat.message", {"session_id": session, "content": "hi"})).data["task_id"]
    done = await house.until(task_id, "completed")
    assert (done["workflow_id"], done["progress"], done["session_id"]) == (task_id, 1, session)
    results = await house.results(task_id)
    assert results["result"]["content"] == "hi"
    assert results["took_ms"].keys() == {task_id}


async def test_what_is_heard_of_a_run_moves_its_last_news(house: House) -> None:
    task_id = await house.start("approval", {"text": "The news"})
    status = await house.until(task_id, "waiting")
    assert status["updated_at"] >= status["started_at"]
