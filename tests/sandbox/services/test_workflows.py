"""The stand-in of the Workflow Engine."""

from typing import Any

import pytest

from tests.sandbox.conftest import Client
from tests.sandbox.orchestrator import FakeOrchestrator
from tests.support.eventually import eventually

TOP = "/api/v1/workflow"


async def start(client: Client, workflow_id: str, **given: Any) -> str:
    payload = {"workflow_id": workflow_id, "input": given, "task_id": "t1"}
    execution_id: str = (await client.post("workflow_engine", f"{TOP}/execute", payload))["execution_id"]
    return execution_id


async def until(client: Client, execution_id: str, status: str) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        run: dict[str, Any] = await client.get("workflow_engine", f"{TOP}/executions/{execution_id}")
        return run

    return await eventually(f"the workflow is {status}", read, lambda run: run["status"] == status)


async def test_each_tenant_has_its_workflows(client: Client, globex: Client) -> None:
    acme = await client.get("workflow_engine", f"{TOP}/definitions")
    known = ["approval", "arithmetic", "failing", "report", "triage"]
    assert [definition["workflow_id"] for definition in acme["definitions"]] == known
    assert (await client.get("workflow_engine", f"{TOP}/definitions/triage"))["name"] == "Triage"
    other = await globex.ask("GET", "workflow_engine", f"{TOP}/definitions/arithmetic")
    assert (other.status_code, other.json()["error"]["code"]) == (404, "WFLOW_NOTF_001")


async def test_a_sequence_runs_step_by_step_through_the_orchestrator(
    client: Client, orchestrator: FakeOrchestrator
) -> None:
    orchestrator.step_results = {"work_out": {"status": "success", "result": 84}, "say": {"result": "84"}}
    execution_id = await start(client, "arithmetic", expression="12 * 7")
    done = await orchestrator.wait_for("task.complete/t1")
    assert done.body["result"] == {"execution_id": execution_id, "results": {"work_out": 84, "say": "84"}}
    work_out, say = await orchestrator.wait_for_all("workflow.step", 2)
    assert work_out.body["parameters"] == {"expression": "12 * 7"}
    assert (say.body["agent_id"], say.body["query"], say.body["task_id"]) == ("echo", "84", "t1")
    progress = [told.body["progress"] for told in await orchestrator.wait_for_all("task.progress/t1", 2)]
    assert progress == [0.0, 0.5]
    run = await until(client, execution_id, "completed")
    assert (run["steps_completed"], run["steps_total"], run["current_step"]) == (2, 2, None)


async def test_a_branch_takes_one_way(client: Client, orchestrator: FakeOrchestrator) -> None:
    orchestrator.step_results = {"answer": {"result": "Hello"}}
    await start(client, "triage", priority="low", text="Hello")
    done = await orchestrator.wait_for("task.complete/t1")
    assert done.body["result"]["results"] == {"urgent": False, "answer": "Hello"}


async def test_a_workflow_waits_for_its_user(client: Client, orchestrator: FakeOrchestrator) -> None:
    execution_id = await start(client, "triage", priority="urgent")
    await until(client, execution_id, "waiting")
    # It waits a moment before that is told.
    *_, last = await orchestrator.wait_for_all("task.progress/t1", 3)
    assert last.body["input_request"]["node_id"] == "ask"
    path = f"{TOP}/executions/{execution_id}/input"
    wrong = await client.ask("POST", "workflow_engine", path, {"payload": {"node_id": "answer", "input": 1}})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (409, "WFLOW_CONF_001")
    await client.post("workflow_engine", path, {"node_id": "ask", "input": {"answer": "Soon."}})
    done = await orchestrator.wait_for("task.complete/t1")
    assert done.body["result"]["results"] == {"urgent": True, "ask": {"answer": "Soon."}}


async def test_a_step_that_fails_fails_the_workflow(client: Client, orchestrator: FakeOrchestrator) -> None:
    orchestrator.step_results = {"work_out": {"status": "error", "error_message": "a division by zero has no value."}}
    execution_id = await start(client, "arithmetic", expression="1/0")
    failed = await orchestrator.wait_for("task.fail/t1")
    assert failed.body["error"]["message"] == "a division by zero has no value."
    assert (await until(client, execution_id, "failed"))["error"] == "a division by zero has no value."


async def test_a_cancelled_workflow_stops(client: Client, orchestrator: FakeOrchestrator) -> None:
    execution_id = await start(client, "triage", priority="urgent")
    await until(client, execution_id, "waiting")
    path = f"{TOP}/executions/{execution_id}/cancel"
    assert (await client.post("workflow_engine", path, {"reason": "enough"}))["cancelled"] is True
    assert (await client.post("workflow_engine", path, {}))["cancelled"] is False
    await until(client, execution_id, "cancelled")


async def test_an_execution_of_another_tenant_is_not_there(
    client: Client, globex: Client, orchestrator: FakeOrchestrator
) -> None:
    execution_id = await start(client, "triage", priority="urgent")
    answer = await globex.ask("GET", "workflow_engine", f"{TOP}/executions/{execution_id}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "WFLOW_NOTF_002")


async def test_the_same_key_starts_one_execution(client: Client, orchestrator: FakeOrchestrator) -> None:
    body = {"payload": {"workflow_id": "triage", "input": {"priority": "urgent"}, "task_id": "t1"}}
    key = {"Idempotency-Key": "k1"}
    answers = [
        (await client.ask("POST", "workflow_engine", f"{TOP}/execute", body, headers=key)).json() for _ in range(2)
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("steps", "paths"),
    [
        (None, ["$.steps"]),
        ([], ["$.steps"]),
        ([{"step_id": "a", "type": "dance"}], ["$.steps[0].type"]),
        ([{"step_id": "a", "type": "tool"}], ["$.steps[0].tool_id", "$.steps[0].parameters"]),
        (
            [{"step_id": "a", "type": "input", "prompt": "?"}, {"step_id": "a", "type": "input", "prompt": "?"}],
            ["$.steps[0].step_id", "$.steps[1].step_id"],
        ),
        ([{"step_id": "a", "type": "input", "prompt": "?", "next": "b"}], ["$.steps[0].next"]),
        ([{"step_id": "a", "type": "branch", "when": {}, "then": "end", "else": "a"}], []),
    ],
)
async def test_a_definition_is_told_all_its_faults(client: Client, steps: Any, paths: list[str]) -> None:
    answer = await client.post("workflow_engine", f"{TOP}/validate", {"workflow_id": "w", "steps": steps})
    assert [fault["path"] for fault in answer["errors"]] == paths
    assert answer["valid"] is (not paths)


async def test_the_fixtures_are_sound(client: Client) -> None:
    for definition in (await client.get("workflow_engine", f"{TOP}/definitions"))["definitions"]:
        assert (await client.post("workflow_engine", f"{TOP}/validate", definition))["valid"]
