"""Steps that the Workflow Engine asks for."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from orchestrator.sandbox.services.workflows import WorkflowRun
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.services.workflows.house import Answered, House, open_house

TOOL = {"step_id": "sum", "type": "tool", "tool_id": "calculator", "parameters": {"expression": "6 * 7"}}
AGENT = {"step_id": "say", "type": "agent", "agent_id": "echo", "query": "Good morning"}


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url) as house:
        yield house


class Engine:
    """A workflow that waits, with the token that the engine was given for it."""

    def __init__(self, house: House, task_id: str, token: str) -> None:
        self.house = house
        self.task_id = task_id
        self.token = token

    async def step(self, fields: dict[str, Any], **headers: Any) -> Answered:
        """Ask for a step."""
        return await self.house.internal(
            "workflow.step", {"task_id": self.task_id, **fields}, **{"token": self.token, **headers}
        )


@pytest.fixture
async def engine(house: House, monkeypatch: pytest.MonkeyPatch) -> Engine:
    tokens: list[str | None] = []
    run = WorkflowRun.run

    async def noting(self: WorkflowRun) -> None:
        tokens.append(self.callback.token)
        await run(self)

    monkeypatch.setattr(WorkflowRun, "run", noting)
    task_id = await house.start("approval")
    await house.until(task_id, "waiting")
    return Engine(house, task_id, str(tokens[0]))


async def test_tools_and_agents_run_and_a_repeated_step_gets_the_first_answer(engine: Engine) -> None:
    first = await engine.step(TOOL)
    assert (first.status, first.data) == (200, {"status": "success", "result": 42, "error_message": None})
    changed = await engine.step({**TOOL, "parameters": {"expression": "1 + 1"}})
    assert changed.data["result"] == 42
    assert engine.house.sandbox.calls["tool_registry", "execute"] == 1
    again = await engine.step({**TOOL, "visit": 2, "parameters": {"expression": "1 + 1"}})
    assert again.data["result"] == 2
    said = await engine.step(AGENT)
    assert said.data["result"] == "Good morning"
    task = (await engine.house.call("GET", f"task.get/{engine.task_id}")).data
    assert {"step:sum", "step:sum:2", "step:say"} <= {*task["checkpoints"]}


async def test_a_step_is_never_confused_with_a_visit_of_another(engine: Engine) -> None:
    results: dict[tuple[str, int], int] = {}
    for step_id, visit in (("a", 1), ("a", 2), ("a:2", 1), ("a:2", 2), ("a:2:1", 1), ("a:2:2", 1)):
        expression = f"{len(results)} + 0"
        answer = await engine.step(
            {**TOOL, "step_id": step_id, "visit": visit, "parameters": {"expression": expression}}
        )
        results[step_id, visit] = answer.data["result"]
    assert [*results.values()] == [0, 1, 2, 3, 4, 5]


async def test_what_steps_give_is_bounded_together(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.services.workflows.step_results.RESULTS_BYTES", 200)
    words = "so long a word that two of them are too much for one workflow" * 2
    assert (await engine.step({**AGENT, "query": words})).data["result"] == words
    refused = [await engine.step({**AGENT, "step_id": f"s{nth}", "query": words}) for nth in range(4)]
    for answer in refused:
        assert answer.data["status"] == "error"
        assert "larger than 200 bytes" in answer.data["error_message"]
    assert (await engine.step({**AGENT, "query": "again"})).data["result"] == words
    # Once there is no room left, nothing more is run for it.
    assert engine.house.sandbox.calls["agent_execution", "execute"] == 2


async def test_a_step_that_fails_says_why(engine: Engine) -> None:
    divided = await engine.step({**TOOL, "parameters": {"expression": "1 / 0"}})
    assert (divided.status, divided.data["status"]) == (200, "error")
    assert "division by zero" in divided.data["error_message"]
    unknown = await engine.step({**TOOL, "step_id": "b", "tool_id": "nothing"})
    nobody = await engine.step({**AGENT, "agent_id": "nobody"})
    engine.house.sandbox.faults.add(InjectedFault(InjectedFaultKind.ERROR, "tool_registry", "execute", status=400))
    refused = await engine.step({**TOOL, "step_id": "c"})
    for answer in (unknown, nobody, refused):
        assert answer.data["status"] == "error"
        assert answer.data["error_message"]


async def test_a_bad_step_is_refused(engine: Engine) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"step_id": "a", "type": "dance"}, "$.type"),
        ({"step_id": "a", "type": "tool"}, "$.data.tool_id"),
        ({"step_id": "a", "type": "agent", "agent_id": "echo"}, "$.data.query"),
        ({"type": "tool", "tool_id": "calculator"}, "$.step_id"),
        ({**TOOL, "visit": 0}, "$.visit"),
        ({**TOOL, "surprise": 1}, "$.surprise"),
    ]
    for fields, path in cases:
        refused = await engine.step(fields)
        assert (refused.status, refused.paths) == (400, [path])


async def test_only_the_engine_has_steps_run_and_only_while_the_workflow_lasts(engine: Engine) -> None:
    assert (await engine.step(TOOL, token=None)).fault == (403, "ORCH_AUTH_003")
    assert (await engine.step(TOOL, token="guessed")).fault == (403, "ORCH_AUTH_003")
    assert (await engine.step(TOOL, tenant="globex")).fault == (404, "ORCH_NOTF_001")
    assert (await engine.step({**TOOL, "task_id": "unknown"})).fault == (404, "ORCH_NOTF_001")
    await engine.house.call("DELETE", f"workflow.cancel/{engine.task_id}")
    assert (await engine.step(TOOL)).fault == (409, "ORCH_SESS_002")
    assert engine.house.sandbox.calls["tool_registry", "execute"] == 0
