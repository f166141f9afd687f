"""The frames of the guide for frontends, for clients that chose them."""

from typing import Any

import orjson
import pytest

from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    InternalFault,
    InvalidBody,
    NotFound,
    OrchestratorError,
    SessionClosed,
    TokenExpired,
    Unauthorized,
)
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import derived_id
from orchestrator.models.events.events import (
    ChatStatusUpdate,
    ChatStream,
    ChatStreamReset,
    StreamContent,
    SystemPong,
    ToolExecute,
    Trouble,
)
from orchestrator.models.plans.workflow import WorkflowStatusUpdate
from orchestrator.models.sessions.chat import ChatAnswer, MessageStatus
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.events.events import LoggedEvent
from orchestrator.websocket.dialects.additions import added
from orchestrator.websocket.dialects.domain_action import translated
from orchestrator.websocket.events import Place
from tests.platform.vectors import missing, vector
from tests.support.documented import name_of, validator
from tests.websocket.dialects.frames import logged, written

GATE: dict[str, Any] = {"place": "gate 4", "zoom": 2}


def frame(name: str, data: object) -> Any:
    came = written(translated, logged(name, data))
    validator("domain_action", name_of(came)).validate(came)
    return came


@pytest.mark.parametrize(
    ("name", "data", "shape", "nullable"),
    [
        ("chat.status_update", ChatStatusUpdate("m1", "t1", MessageStatus.QUEUED), "ws-da-chat-status", {"progress"}),
        ("chat.completed", ChatAnswer("m1", "a1", "Hi."), "ws-da-chat-response", {"model_used"}),
        ("chat.stream", ChatStream("m1", 3, "Seven "), "ws-da-chat-stream", set()),
        (
            "tool.execute",
            ToolExecute("c1", "m1", "show_map", GATE, 30_000, "Shows a place on a map."),
            "ws-da-tool-execute",
            set(),
        ),
        (
            "workflow.status_update",
            WorkflowStatusUpdate("t1", "w1", TaskStatus.WAITING),
            "ws-da-workflow-status",
            set(),
        ),
    ],
)
def test_a_frame_has_the_documented_shape(name: str, data: object, shape: str, nullable: set[str]) -> None:
    example, came = vector(shape).example, frame(name, data)
    assert missing(example, came, nullable=frozenset(nullable)) == []
    assert (came["type"], came["offset"], came["epoch"]) == (example["type"], 7, "e1")


def test_a_workflow_is_named_by_its_run() -> None:
    data = frame("workflow.status_update", WorkflowStatusUpdate("t1", "w1", TaskStatus.PENDING))["data"]
    assert (data["workflow_id"], data["definition_id"], data["status"]) == ("t1", "w1", "queued")


def test_a_piece_names_the_answer_that_it_will_be_part_of() -> None:
    data = frame("chat.stream", ChatStream("m1", 3, "Seven "))["data"]
    assert data["response_message_id"] == derived_id("s1", "m1")


def test_what_an_agent_thinks_is_not_shown_as_its_answer() -> None:
    data = frame("chat.stream", ChatStream("m1", 3, "Hm.", StreamContent.THINKING))["data"]
    assert (data["chunk"]["content"], data["chunk"]["thinking"]) == ("", "Hm.")


@pytest.mark.parametrize(
    ("name", "data"),
    [("chat.stream_reset", ChatStreamReset("m1", 2)), ("system.pong", SystemPong(1, "2026-01-15T09:00:00.000Z"))],
)
def test_what_has_no_counterpart_is_the_very_frame_of_the_default_dialect(name: str, data: object) -> None:
    event = logged(name, data)
    assert translated(event) is event.written_by(added)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("workflow.status_update", b'{"data":{"status":"resting"},"message_id":"m1"}'),
        ("session.state_update", b'{"data":{"state":"DREAMING"},"message_id":"m1"}'),
        ("chat.completed", b'{"data":{"content":"Hi."},"message_id":"m1"}'),
        ("chat.stream", b'{"data":{"chunk":3},"message_id":"m1"}'),
        ("system.error", b'{"data":{"error":null},"message_id":"m1"}'),
        ("chat.status_update", b'{"data":'),
    ],
)
def test_what_another_version_wrote_otherwise_is_passed_on_as_it_stands(name: str, body: bytes) -> None:
    event = LoggedEvent(7, "e1", name, body, "s1")
    assert translated(event) == added(event) == event.frame


@pytest.mark.parametrize(
    ("error", "about", "code", "status"),
    [
        (InvalidBody("No."), "chat", "SYSTEM.INVALID_MESSAGE", 400),
        (NotFound("No."), "session", "SESSION.NOT_FOUND", 404),
        (NotFound("No."), "chat", "ORCH_NOTF_001", 404),
        (SessionClosed("No."), "chat", "SESSION.EXPIRED", 410),
        (Unauthorized("No."), "session", "SYSTEM.AUTH_FAILED", 401),
        (TokenExpired("No."), "session", "SYSTEM.AUTH_EXPIRED", 401),
        (InternalFault("No."), "chat", "CHAT.PROCESSING_FAILED", 500),
        (CallTimeout("No."), "workflow", "WORKFLOW.TIMEOUT", 504),
        (
            BadGateway("No.", details=[FieldFault("agent_execution", "AGEX_CONTENT_POLICY: no")]),
            "chat",
            "CHAT.CONTENT_POLICY_VIOLATION",
            502,
        ),
    ],
)
def test_a_failure_has_the_code_of_the_guide_and_its_status(
    error: OrchestratorError, about: str, code: str, status: int
) -> None:
    place = Place(translated, "acme", "s1", 3, "e1")
    came = orjson.loads(place.complaint(error, "c1", parent_id="m1", about=about))
    validator("domain_action", "system.error").validate(came)
    assert (came["data"]["code"], came["status"]["code"]) == (code, status)
    assert missing(vector("ws-da-error").example, came) == []


@pytest.mark.parametrize(
    ("recoverable", "code"), [(True, "CHAT.PROCESSING_FAILED"), (False, "WORKFLOW.EXECUTION_FAILED")]
)
def test_a_failure_of_a_log_is_one_of_a_turn_or_of_a_workflow(recoverable: bool, code: str) -> None:
    trouble = Trouble(BadGateway("No.").body("c1"), "m1", is_recoverable=recoverable)
    came = frame("system.error", trouble)
    assert (came["data"]["code"], came["status"]) == (code, {"code": 502, "message": "Bad Gateway"})
    assert came["data"]["transaction_id"] == "c1"
