"""What the record of a workflow keeps beside the results of its calls, and which events of its session ask."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.events.events import Event
from orchestrator.models.plans.plan_request import CALL_NAME
from orchestrator.models.tasks.waits import ANSWER
from orchestrator.services.plans.plan_journal import UNDO, WAIT
from orchestrator.services.workflows.workflow_records import INPUT_REQUEST, asking_task, is_result

NAMES = st.from_regex(re.compile(CALL_NAME.replace("$", r"\Z"), re.ASCII)) | st.sampled_from(
    ["undo", "engine", "wait", "answer", "step", "agent_version", "execute", "streamed"]
)


@given(NAMES)
def test_the_result_of_a_call_is_found_whatever_its_name_is(name: str) -> None:
    assert is_result(name)


@given(NAMES)
def test_notes_of_the_plan_engine_are_no_results_whatever_the_calls_are_named(name: str) -> None:
    noted = [UNDO, UNDO + name, WAIT + name, ANSWER + name, WAIT + UNDO + name, f"{name}.agent_version"]
    noted += [f"{UNDO}{name}.streamed", f"{ANSWER}{name}.call-1"]
    assert not any(is_result(one) for one in noted)


@pytest.mark.parametrize("step", ["step:count", "step:a.b", "step:undo:a"])
def test_the_result_of_a_step_is_one_whatever_the_step_is_named(step: str) -> None:
    assert is_result(step)


@pytest.mark.parametrize(
    ("data", "task_id"),
    [
        ({"task_id": "t1", "node_id": "ask"}, "t1"),
        ({"task_id": "t1", "node_id": "other", "schema": {"x-request-id": "ask"}}, "t1"),
        ({"task_id": "t1", "node_id": "other", "schema": {"x-request-id": ["ask"]}}, None),
        ({"task_id": "t1", "node_id": ["ask"], "schema": "ask"}, None),
        ({"task_id": ["t1"], "node_id": "ask"}, None),
        ({"node_id": "ask"}, None),
    ],
)
def test_a_question_is_found_by_its_node_or_its_own_name_and_a_damaged_one_is_none(data: Any, task_id: str) -> None:
    body = orjson.dumps({"data": data})
    assert asking_task(Event(1, "e1", INPUT_REQUEST, body), "ask") == task_id
    assert asking_task(Event(1, "e1", "workflow.status_update", body), "ask") is None
