"""The default dialect has the documented names beside the service's own, and takes nothing away."""

from typing import Any

import orjson
import pytest

from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.events.events import (
    ChatStatusUpdate,
    ChatStream,
    StateUpdate,
    ToolOutcome,
    ToolResult,
    ToolStatus,
)
from orchestrator.models.plans.workflow import WorkflowInputRequest, WorkflowStatusUpdate
from orchestrator.models.sessions.chat import ChatAnswer, MessageStatus, Usage
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.events.events import LoggedEvent
from orchestrator.websocket.dialects.additions import ADDITIONS, added
from orchestrator.websocket.events import trouble
from tests.platform.vectors import missing, vector
from tests.support.documented import documented
from tests.websocket.dialects.frames import logged, written


def frame(name: str, data: object) -> Any:
    return documented(written(added, logged(name, data)))


def test_a_piece_of_an_answer_is_the_very_frame_of_the_log() -> None:
    event = logged("chat.stream", ChatStream("m1", 3, "Seven "))
    assert added(event) is event.frame


def test_a_frame_is_written_once_for_all_who_follow() -> None:
    event = logged("chat.completed", ChatAnswer("m1", "a1", "Hi."))
    assert event.written_by(added) is event.written_by(added)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("session.state_update", StateUpdate("s1", SessionState.ACTIVE, 20)),
        ("chat.status_update", ChatStatusUpdate("m1", "t1", MessageStatus.QUEUED)),
        ("chat.completed", ChatAnswer("m1", "a1", "Hi.")),
        ("tool.result", ToolResult("c1", ToolOutcome(ToolStatus.ERROR), "m1")),
        ("tool.result", ToolResult("c1", ToolOutcome(ToolStatus.SUCCESS, {"shown": True}, None, 3.5), "m1")),
        ("workflow.input_request", WorkflowInputRequest("t1", "choose", "Which?")),
        ("system.error", trouble(InvalidBody("No."), parent_id="m1", correlation_id="c1")),
    ],
)
def test_nothing_is_taken_away(name: str, data: object) -> None:
    event = logged(name, data)
    before, after = written(lambda one: one.frame, event), written(added, event)
    assert {**after, "data": before["data"]} == before
    kept = {field: after["data"][field] for field in before["data"] if field != "result"}
    assert kept == {field: value for field, value in before["data"].items() if field != "result"}


@pytest.mark.parametrize("state", SessionState)
def test_a_transition_has_its_documented_name_and_the_session_a_status(state: SessionState) -> None:
    named = {one["state"]: one["event"] for one in vector("ws-state-events").example}
    data = frame("session.state_update", StateUpdate("s1", state, state.code))["data"]
    assert data["event"] == named.get(state)
    assert data["status"] in {"active", "inactive", "closed"}
    assert (data["offset"], data["epoch"]) == (7, "e1")


def test_a_greeting_is_no_transition() -> None:
    data = frame("session.state_update", StateUpdate("s1", SessionState.ACTIVE, 20, agent_id="echo"))["data"]
    assert (data["status"], data["event"]) == ("active", None)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (TaskStatus.PENDING, "queued"),
        (TaskStatus.WAITING, "processing"),
        (TaskStatus.RETRYING, "processing"),
        (TaskStatus.PARTIAL, "completed"),
        (TaskStatus.FAILED, "failed"),
    ],
)
def test_a_workflow_is_told_by_five_words_with_the_finer_one_beside_them(status: TaskStatus, told: str) -> None:
    data = frame("workflow.status_update", WorkflowStatusUpdate("t1", "w1", status, 0.4, 2, 5))["data"]
    assert (data["status"], data["state"], data["status_message"]) == (told, status, "step 2 of 5")
    example = vector("ws-ev-workflow-status-update").data
    assert missing(example, data, nullable=frozenset({"estimated_completion_time"})) == []


def test_an_answer_has_its_tokens_as_one_figure() -> None:
    data = frame("chat.completed", ChatAnswer("m1", "a1", "Hi.", usage=Usage(40, 21, 61)))["data"]
    assert (data["token_count"], data["metadata"]) == (61, {})


def test_a_failure_has_its_faults_by_path() -> None:
    fault = InvalidBody("The message has a fault.", details=[FieldFault("$.data.content", "must be a string")])
    data = frame("system.error", trouble(fault, parent_id="m1", correlation_id="c1"))["data"]
    assert data["error_code"] == data["error"]["code"] == "ORCH_VAL_001"
    assert data["error_details"] == {"$.data.content": "must be a string"}
    assert missing(vector("ws-ev-system-error").data, data) == []


def test_a_failed_tool_has_every_documented_field() -> None:
    data = frame("tool.result", ToolResult("c1", ToolOutcome(ToolStatus.ERROR, error_message="No."), "m1"))["data"]
    assert missing(vector("ws-ev-tool-result-down").data, data) == []
    assert data["result"]["error_message"] == "No."


def test_a_question_says_what_a_form_needs() -> None:
    schema = {"oneOf": [{"const": "csv", "title": "CSV"}, {"const": "ods", "title": "Sheet"}]}
    data = frame("workflow.input_request", WorkflowInputRequest("t1", "choose", "Which format?", schema))["data"]
    shape = vector("ws-we-input-request").example["payload"]
    assert missing(shape, data | {"step_id": "choose"}, nullable=frozenset({"timeout_ms"})) == []
    assert (data["input_type"], data["options"][0]) == ("select", {"value": "csv", "label": "CSV"})


def test_what_the_engine_says_of_its_question_stays() -> None:
    said = {"request_id": "ask-1", "input_type": "confirm", "options": ["a"], "timeout_ms": 300, "required": False}
    asked = {"task_id": "t1", "node_id": "choose", "prompt": "Which?", "schema": {"enum": ["x"]}}
    body = orjson.dumps({"data": {**asked, **said}, "message_id": "m1"})
    event = LoggedEvent(7, "e1", "workflow.input_request", body, "t1")
    assert orjson.loads(added(event))["data"] == {**asked, **said}


@pytest.mark.parametrize(
    ("schema", "kind", "values"),
    [
        (None, "text", []),
        ({"type": "boolean"}, "boolean", []),
        ({"type": "integer"}, "number", []),
        ({"type": "string", "enum": ["a", "b"]}, "select", ["a", "b"]),
    ],
)
def test_the_kind_of_an_answer_follows_its_schema(schema: Any, kind: str, values: list[str]) -> None:
    data = frame("workflow.input_request", WorkflowInputRequest("t1", "ask", "What?", schema))["data"]
    assert (data["input_type"], [one["value"] for one in data["options"]]) == (kind, values)


def test_every_addition_is_described_by_its_model() -> None:
    assert all(addition.model.__doc__ for addition in ADDITIONS.values())
