"""The dialect `domain-action`: the frames of the platform's guide for frontends.

What has no counterpart there is sent as in the default dialect. Fields that the guide does not name stay where they
don't stand in its way.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from attrs import asdict, evolve, frozen
from msgspec import Meta

from orchestrator.codec import parse_json, structure_kept
from orchestrator.dialects.frontend_errors import FrontendFailure, frontend_failure
from orchestrator.errors import OrchestratorError
from orchestrator.models.common.envelope import ErrorBody, Status
from orchestrator.models.common.ids import Id, derived_id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.store.events.events import LoggedEvent
from orchestrator.stored_errors import revive
from orchestrator.websocket.dialects.additions import UNLIKE, added, rewritten, run_names


@frozen
class ChatStatus:
    """How far a message has come."""

    chat_message_id: Id
    session_id: Id
    status: Annotated[str, Meta(description="As in `chat.status_update`.")]
    progress: float | None
    updated_at: Timestamp


@frozen
class Chunk:
    """A piece of an answer."""

    content: str
    sequence: Annotated[int, Meta(description="1, 2, 3… within an attempt.")]
    is_final: bool
    thinking: Annotated[str, Meta(description="What the agent thinks; it is no part of the answer.")] = ""


@frozen
class ChatChunk:
    """A piece of an answer, and the answer that it is a piece of."""

    session_id: Id
    parent_message_id: Id
    response_message_id: Annotated[Id, Meta(description="The id that the finished answer will have.")]
    chunk: Chunk


@frozen
class ResponseMetadata:
    """What is said about an answer."""

    processing_time_ms: int
    model_used: str | None = None


@frozen
class ChatResponse:
    """A finished answer."""

    session_id: Id
    parent_message_id: Id
    message_id: Id
    content: str
    content_type: str
    role: Annotated[str, Meta(description="`assistant`.")]
    sources: list[dict[str, Any]]
    metadata: ResponseMetadata


@frozen
class ClientTool:
    """What the client is asked to run."""

    name: str
    description: str
    parameters: Annotated[dict[str, Any], Meta(description="What it is called with.")]
    timeout_ms: int


@frozen
class ToolCall:
    """The client is asked to run a tool."""

    session_id: Id
    parent_message_id: Id
    tool_call_id: Id
    tool: ClientTool


@frozen
class WorkflowProgress:
    """How far a workflow is."""

    workflow_id: Annotated[Id, Meta(description="The run: a task.")]
    definition_id: Annotated[Id, Meta(description="The workflow that runs.")]
    status: Annotated[str, Meta(description="`queued`, `processing`, `completed`, `failed` or `cancelled`.")]
    progress: Annotated[float, Meta(ge=0, le=1)]
    current_step: str
    message: str
    steps_completed: int
    steps_total: int
    updated_at: Timestamp


@frozen
class OwnEvent(LoggedEvent):
    """A frame of one socket that says what is wrong with what its client has sent."""

    error: OrchestratorError | None = None
    about: str = ""
    """The domain of what was sent, such as `chat`."""


def _chat_status(event: LoggedEvent, body: dict[str, Any]) -> ChatStatus:
    data = body["data"]
    return ChatStatus(data["message_id"], event.owner_id, data["status"], data["progress"], body["created_at"])


def _chunk(event: LoggedEvent, body: dict[str, Any]) -> ChatChunk:
    data, text = body["data"], body["data"]["chunk"]
    chunk = Chunk(text, data["sequence_number"], data["is_final"])
    if data["content_type"] == "thinking":
        # A client that does not know of it would show it as the answer.
        chunk = evolve(chunk, content="", thinking=text)
    parent = data["parent_message_id"]
    return ChatChunk(event.owner_id, parent, derived_id(event.owner_id, parent), chunk)


def _response(event: LoggedEvent, body: dict[str, Any]) -> ChatResponse:
    data = body["data"]
    metadata = ResponseMetadata(data["processing_time_ms"], data.get("model_used"))
    return ChatResponse(
        event.owner_id,
        data["parent_message_id"],
        data["message_id"],
        data["content"],
        data["content_type"],
        "assistant",
        data["sources"],
        metadata,
    )


def _tool_call(event: LoggedEvent, body: dict[str, Any]) -> ToolCall:
    data = body["data"]
    tool = ClientTool(data["tool_id"], data.get("description") or "", data["params"], data["timeout_ms"])
    return ToolCall(event.owner_id, data["parent_message_id"], data["tool_call_id"], tool)


def _workflow_status(event: LoggedEvent, body: dict[str, Any]) -> WorkflowProgress:
    data = body["data"]
    names = run_names(data)
    return WorkflowProgress(
        data["task_id"],
        data["workflow_id"],
        names.status,
        data.get("progress", 0.0),
        data.get("current_step") or "",
        names.status_message,
        data.get("steps_completed", 0),
        data.get("steps_total", 0),
        body["created_at"],
    )


@frozen
class Frame:
    """What an event becomes."""

    name: str
    """`domain.action`."""
    model: type
    """What describes its data."""
    of: Callable[[LoggedEvent, dict[str, Any]], Any]
    """Makes its data of the event and its envelope."""


FRAMES: Final[Mapping[str, Frame]] = {
    "chat.status_update": Frame("chat.status", ChatStatus, _chat_status),
    "chat.stream": Frame("chat.stream", ChatChunk, _chunk),
    "chat.completed": Frame("chat.response", ChatResponse, _response),
    "tool.execute": Frame("tool.execute", ToolCall, _tool_call),
    "workflow.status_update": Frame("workflow.status", WorkflowProgress, _workflow_status),
}
"""What each event becomes, by name; `system.error` has a status beside its data, the others stay as in the default."""
ERROR: Final = "system.error"
ERROR_MODEL: Final = FrontendFailure
"""What describes the data of `system.error`; beside it is `status`."""


def translated(event: LoggedEvent) -> bytes:
    """Write an event as this dialect has it."""
    made = FRAMES.get(event.name)
    try:
        if event.name == ERROR:
            return _failure(event)
        if made is not None:
            return _frame(event, made)
    except UNLIKE:
        pass
    return event.written_by(added)


def _frame(event: LoggedEvent, made: Frame) -> bytes:
    body = parse_json(event.body)
    domain, _, action = made.name.partition(".")
    data = body["data"] | asdict(made.of(event, body))
    return rewritten(event, made.name, {**body, "data": data, "type": {"domain": domain, "action": action}})


def _failure(event: LoggedEvent) -> bytes:
    body = parse_json(event.body)
    data = body["data"]
    error, domain = _raised(event, data)
    request_id = data["parent_id"] or body["message_id"]
    failure = frontend_failure(error, domain, request_id=request_id, transaction_id=body["correlation_id"])
    status = Status(error.status, HTTPStatus(error.status).phrase)
    return rewritten(event, ERROR, {**body, "data": asdict(failure), "status": asdict(status)})


def _raised(event: LoggedEvent, data: dict[str, Any]) -> tuple[OrchestratorError, str]:
    """Return what failed, and the domain in which it did."""
    if isinstance(event, OwnEvent) and event.error is not None:
        return event.error, event.about
    # In a log: a turn leaves its session open to the next one, and a workflow that has failed is over.
    domain = "chat" if data["is_recoverable"] else "workflow"
    return revive(structure_kept(data["error"], ErrorBody)), domain
