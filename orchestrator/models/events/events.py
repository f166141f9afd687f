"""Events: what the service tells those who follow a session, and what they may say on its socket."""

from enum import StrEnum
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.events.notification import NotificationAcknowledged, NotificationSummary
from orchestrator.models.plans.workflow import WorkflowInputRequest, WorkflowStatusUpdate
from orchestrator.models.sessions.chat import ChatAnswer, MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.batch import BatchProgress
from orchestrator.models.tasks.task import WHO_CANCELLED, CancelledBy


@frozen
class Event:
    """One entry of an event log, as it is stored.

    `body` is the JSON of the frame without `offset` and `epoch`: these two are known only when the entry is appended.
    """

    offset: int
    """1, 2, 3… without gaps within an epoch."""
    epoch: str
    name: str
    """`domain.action`, such as `chat.stream`."""
    body: bytes


class ToolStatus(StrEnum):
    """How a tool ended."""

    SUCCESS = "success"
    ERROR = "error"


class StreamContent(StrEnum):
    """What a piece of a streamed answer is."""

    RESPONSE = "response"
    THINKING = "thinking"


@frozen
class StateUpdate:
    """The session's state: first frame of every socket, and again at every transition."""

    session_id: Id
    state: SessionState
    state_code: int
    offset: int | None = None
    epoch: str | None = None
    recovered: Annotated[bool, Meta(description="False where missed events could not be sent again.")] = True
    active_task_id: Id | None = None
    agent_id: Annotated[Id | None, Meta(description="Who answers; told at first, and when it changes.")] = None
    agent_version: Annotated[
        str | None, Meta(description="The version that always answers, if it is bound to one.")
    ] = None


@frozen
class ChatStatusUpdate:
    """How far a message has come."""

    message_id: Id
    task_id: Id
    status: MessageStatus
    progress: Annotated[float | None, Meta(ge=0, le=1)] = None
    queue_position: int | None = None
    content: Annotated[
        str | None, Meta(description="What was said, where the message was taken just now: other sockets show it.")
    ] = None
    message: Annotated[str | None, Meta(description="What the agent says of its work.")] = None
    estimated_completion_time: Annotated[
        Timestamp | None, Meta(description="When the answer is there, by the agent's own estimate.")
    ] = None
    cancelled_by: Annotated[CancelledBy | None, WHO_CANCELLED] = None


@frozen
class ChatStream:
    """A piece of an answer."""

    parent_message_id: Id
    sequence_number: Annotated[int, Meta(description="1, 2, 3… within an attempt.")]
    chunk: str
    content_type: StreamContent = StreamContent.RESPONSE
    is_final: bool = False


@frozen
class ChatStreamReset:
    """The answer starts over, since a worker was lost or a failure may pass: drop what was shown."""

    parent_message_id: Id
    attempt: int


@frozen
class ToolExecute:
    """The client is asked to run a tool."""

    tool_call_id: Id
    parent_message_id: Id
    tool_id: Id
    params: dict[str, Any]
    timeout_ms: int
    description: Annotated[str, Meta(description="What the tool does, as the Tool Registry has it; may be empty.")] = ""


@frozen
class ToolStarted:
    """The server runs a tool for the agent: `tool.result` follows."""

    tool_call_id: Id
    parent_message_id: Id
    tool_id: Id
    params: dict[str, Any]


@frozen
class ToolOutcome:
    """What a tool gave."""

    status: ToolStatus
    data: Any = None
    error_message: str | None = None
    execution_time_ms: float | None = None


@frozen
class ToolResult:
    """A tool has ended: sent by the client that ran it, and by the server for its own."""

    tool_call_id: Id
    result: ToolOutcome
    parent_message_id: Id | None = None


@frozen
class Trouble:
    """Something went wrong."""

    error: ErrorBody
    parent_id: Annotated[str | None, Meta(description="The frame or message that caused it.")] = None
    severity: Annotated[str, Meta(description="`warning` or `error`.")] = "error"
    is_recoverable: bool = True


@frozen
class SystemPong:
    """The answer to `system.ping`, with both clocks."""

    client_timestamp: Any
    server_timestamp: Timestamp


@frozen
class SystemReconnect:
    """The server is going away: come back after this time."""

    retry_after_ms: int


@frozen
class SystemNotification:
    """Something that a person should know."""

    title: str
    message: str
    level: Annotated[str, Meta(description="`info`, `success`, `warning` or `error`.")] = "info"
    notification_id: Annotated[Id | None, Meta(description="For `notification.acknowledge`.")] = None
    data: Annotated[dict[str, Any], Meta(description="Free fields of who sent it.")] = field(factory=dict)
    created_at: Timestamp | None = None
    expires_at: Timestamp | None = None


@frozen
class Snapshot:
    """What a follower needs where the log no longer reaches back."""

    messages: Annotated[
        list[dict[str, Any]],
        Meta(description="The last messages, the questions of turns that have not ended among them; 256 KiB at most."),
    ]
    active_task_id: Id | None = None
    answer: Annotated[
        str, Meta(description="What the running turn has said so far; its last 256 KiB where it is longer.")
    ] = ""
    tool_requests: Annotated[
        list[ToolExecute], Meta(description="What the running turn waits for the client to run.")
    ] = field(factory=list)


@frozen
class ChatCancel:
    """Stop the turn of a message."""

    message_id: Id


@frozen
class SessionSync:
    """Resume from an offset without reconnecting."""

    last_offset: Annotated[int, Meta(ge=0)]
    epoch: str


@frozen
class SystemAuth:
    """A new token, before the old one expires."""

    token: str


@frozen
class SystemAuthenticated:
    """The answer to `system.auth`: the new token counts from now on."""

    expires_at: Annotated[Timestamp, Meta(description="When the new token expires, and the socket with it.")]


@frozen
class SystemPing:
    """Are you there?"""

    client_timestamp: Any = None


WORKFLOW_EVENTS: dict[str, type] = {
    "workflow.status_update": WorkflowStatusUpdate,
    "workflow.input_request": WorkflowInputRequest,
}
"""Every event of a workflow, by name; on its socket come those of `system` beside them."""

BATCH_EVENTS: dict[str, type] = {"batch.progress": BatchProgress}
"""Every event of a batch, by name; on its socket come those of `system` beside them."""

NOTIFICATION_EVENTS: dict[str, type] = {
    "notification.summary": NotificationSummary,
    "system.notification": SystemNotification,
    "notification.acknowledged": NotificationAcknowledged,
}
"""Every event of a user's notifications, by name; on their socket come those of `system` beside them."""

SERVER_EVENTS: dict[str, type] = {
    "session.state_update": StateUpdate,
    "session.snapshot": Snapshot,
    "chat.status_update": ChatStatusUpdate,
    "chat.stream": ChatStream,
    "chat.stream_reset": ChatStreamReset,
    "chat.completed": ChatAnswer,
    "tool.execute": ToolExecute,
    "tool.started": ToolStarted,
    "tool.result": ToolResult,
    **WORKFLOW_EVENTS,
    "system.notification": SystemNotification,
    "system.error": Trouble,
    "system.pong": SystemPong,
    "system.authenticated": SystemAuthenticated,
    "system.reconnect": SystemReconnect,
}
"""Every event that the server sends to those who follow a session, by name."""
