"""Steps of workflows that are asked for through the queue."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import trio

from orchestrator.codec import encode
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.queue.tasks.queued_steps import QueuedSteps
from orchestrator.services.workflows import step_results
from orchestrator.services.workflows.queued_steps import resolve_input
from tests.store.desk import a_task

STEP = {"step_id": "c", "workflow": "run-1", "tool_id": "calculator", "input": {}, "on_failure": "fail"}
KEPT = orjson.dumps({"status": "success", "result": "x" * 20})


@pytest.mark.parametrize(
    "value",
    [
        {"source": {"url": "https://example.com"}, "text": "hello"},
        {"source": ["previous_step"]},
        {"source": "previous_stop", "step_id": "a"},
        "previous_step",
    ],
)
def test_what_is_no_reference_stays_as_it_is(value: object) -> None:
    told = resolve_input({"value": value}, {"a": 1}, {})
    assert (told.values, told.unresolved) == ({"value": value}, [])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"source": "previous_step", "step_id": "a"}, 1),
        ({"source": "workflow_input", "parameter": "topic"}, "seats"),
        ({"source": "previous_step", "step_id": "b"}, None),
        ({"source": "previous_step", "step_id": ["a"]}, None),
        ({"source": "workflow_input"}, None),
    ],
)
def test_references_are_filled_in_or_told(value: object, found: object) -> None:
    told = resolve_input({"value": value}, {"a": 1}, {"topic": "seats"})
    assert (told.values["value"], told.unresolved) == (found, [] if found else ["value"])


@pytest.mark.parametrize(("room", "ran", "kept"), [(1000, True, [True]), (1, True, [False]), (0, False, [])])
async def test_steps_fill_a_workflow_to_its_bound(
    monkeypatch: pytest.MonkeyPatch, room: int, *, ran: bool, kept: list[bool]
) -> None:
    monkeypatch.setattr(step_results, "RESULTS_BYTES", 2 * len(KEPT) + room)
    written: list[bytes] = []
    runs: list[str] = []

    async def load(*_: Any) -> Any:
        task = SimpleNamespace(task_id="run-1", user_id="ann")
        fields = {"checkpoint:step:a": KEPT, "checkpoint:step:b": KEPT, "message": encode(a_task())}
        return SimpleNamespace(task=task, fields=fields)

    async def keep_step(_: str, __: str, ___: str, result: bytes) -> bytes:
        written.append(result)
        return result

    async def execute(*_: Any) -> ToolOutcome:
        runs.append("calculator")
        return ToolOutcome(ToolStatus.SUCCESS, "y" * 50)

    async def run(_: object, call: Any, operation: Any) -> Any:
        return await operation(call)

    workflows: Any = SimpleNamespace(load=load, keep_step=keep_step)
    clients: Any = SimpleNamespace(tool_registry=SimpleNamespace(execute=execute))
    coordinator: Any = SimpleNamespace(run=run)
    nothing: Any = None
    attempt: Any = SimpleNamespace(message=a_task(payload=STEP), deadline=trio.current_time() + 10)
    told = await QueuedSteps(workflows, clients, coordinator, nothing)(attempt)
    assert bool(runs) is ran
    assert [orjson.loads(one)["status"] == "success" for one in written] == kept
    assert (told["status"] == "success") is (kept == [True])
