"""Workflows whose processes die: they go on from what is done, and nothing is done twice."""

from pathlib import Path
from typing import Any

from tests.end_to_end.stack import Stack, open_stack
from tests.support.eventually import eventually


async def call(stack: Stack, method: str, route: str, data: Any = None) -> Any:
    async with stack.client() as client:
        answer = await client.request(method, f"/api/v1/{route}", json=data)
    return answer.raise_for_status().json()["data"]


async def until(stack: Stack, task_id: str, **wanted: Any) -> Any:
    return await eventually(
        f"the workflow has {wanted}",
        lambda: call(stack, "GET", f"workflow.status/{task_id}"),
        lambda now: wanted.items() <= now.items(),
        within=30,
    )


def slowly(topic: str, *after: str) -> dict[str, Any]:
    parameters = {"tool_id": "slow_report", "parameters": {"topic": topic, "duration_ms": 700}}
    return {"service": "tool_registry", "operation": "execute", "parameters": parameters, "depends_on": [*after]}


async def test_a_plan_goes_on_after_kill_9_and_does_no_call_twice(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        plan = {"calls": {"first": slowly("a"), "second": slowly("b", "first"), "third": slowly("c", "second")}}
        task_id = (await call(stack, "POST", "workflow.execute", {"plan": plan}))["task_id"]
        await until(stack, task_id, steps_completed=1)
        await stack.node.kill()
        await stack.start()
        done = await until(stack, task_id, status="completed")
        assert done["attempt"] > 1
        results = (await call(stack, "GET", f"workflow.results/{task_id}"))["result"]["results"]
        assert [one["result"]["topic"] for one in results.values()] == ["a", "b", "c"]
        # The key of the call that was cut off is the same the second time: it was done once, and answered again.
        assert stack.sandbox.calls["tool_registry", "execute"] <= 4


async def test_a_known_workflow_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    async with open_stack(tmp_path) as stack:
        await stack.start()
        asked = {"workflow_id": "approval", "input": {"text": "Still here"}}
        task_id = (await call(stack, "POST", "workflow.execute", asked))["task_id"]
        request = (await until(stack, task_id, status="waiting"))["input_request"]
        await stack.node.kill()
        await stack.start()
        given = {"node_id": request["node_id"], "input": {"approved": True}}
        await call(stack, "POST", f"workflow.input/{task_id}", given)
        await until(stack, task_id, status="completed")
        results = (await call(stack, "GET", f"workflow.results/{task_id}"))["result"]["results"]
        assert results["send"] == "Still here"
        assert stack.sandbox.calls["workflow_engine", "execute"] == 1
