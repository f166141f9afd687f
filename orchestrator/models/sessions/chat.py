"""Chat: what a person says to an agent, and what comes back."""

from enum import StrEnum
from typing import Annotated, Any

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Moment, Timestamp
from orchestrator.models.sessions.session import Metadata


class ChatMode(StrEnum):
    """How `chat.message` answers."""

    ASYNC = "async"
    WAIT = "wait"
    STREAM = "stream"


class IfBusy(StrEnum):
    """What a message does in a session that is already processing one."""

    ENQUEUE = "enqueue"
    REJECT = "reject"
    INTERRUPT = "interrupt"


class MessageStatus(StrEnum):
    """How far a message has come."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


Content = Annotated[str, Meta(min_length=1, max_length=262_144, description="The text.")]
ContentType = Annotated[str, Meta(max_length=100, description="The media type of the content.")]


@frozen
class Attachment:
    """Something that comes with a message, by reference."""

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    url: Annotated[str, Meta(max_length=2048, pattern=r"^https?://")]
    content_type: ContentType | None = None
    size_bytes: Annotated[int | None, Meta(ge=0)] = None


@frozen
class ChatTurn:
    """What a message over the session's own WebSocket takes."""

    content: Content
    content_type: ContentType = "text/plain"
    attachments: Annotated[list[Attachment], Meta(max_length=20)] = field(factory=list)
    metadata: Metadata = field(factory=dict)
    if_busy: IfBusy = IfBusy.ENQUEUE
    scheduled_for: Moment = None


@frozen
class ChatMessage:
    """What `chat.message` takes."""

    session_id: Id
    content: Content
    content_type: ContentType = "text/plain"
    attachments: Annotated[list[Attachment], Meta(max_length=20)] = field(factory=list)
    metadata: Metadata = field(factory=dict)
    mode: ChatMode = ChatMode.ASYNC
    if_busy: IfBusy = IfBusy.ENQUEUE
    timeout_ms: Annotated[
        int, Meta(ge=1, le=600_000, description="How long `wait` and `stream` wait for the answer, in ms.")
    ] = 30_000
    scheduled_for: Moment = None

    def turn(self) -> ChatTurn:
        """Return the part that does not depend on the route."""
        return ChatTurn(
            self.content, self.content_type, self.attachments, self.metadata, self.if_busy, self.scheduled_for
        )


@frozen
class ChatAccepted:
    """A message that was taken; its answer comes on the session's WebSocket."""

    task_id: Id
    message_id: Id
    session_id: Id
    status: MessageStatus = MessageStatus.QUEUED
    queue_position: Annotated[int | None, Meta(description="Turns of the session that come before.")] = None


@frozen
class Usage:
    """Tokens spent."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@frozen
class ChatAnswer:
    """A finished answer."""

    parent_message_id: Annotated[Id, Meta(description="The message that is answered.")]
    message_id: Id
    content: str
    content_type: str = "text/markdown"
    sources: Annotated[list[dict[str, Any]], Meta(description="What the answer rests on.")] = field(factory=list)
    tool_calls: Annotated[list[dict[str, Any]], Meta(description="The tools that were used.")] = field(factory=list)
    usage: Usage = Usage()
    processing_time_ms: Annotated[int, Meta(description="From acceptance to answer, in ms.")] = 0
    degraded: Annotated[list[str], Meta(description="Services that the turn had to do without.")] = field(factory=list)
    thinking: Annotated[
        str | None, Meta(description="How the agent came to it, where it says so: in the task's result alone.")
    ] = None


class Speaker(StrEnum):
    """Who said a message of the history."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


@frozen
class HistoryMessage:
    """A message of the conversation so far."""

    message_id: Id
    role: Speaker
    content: str
    created_at: Timestamp
    content_type: str = "text/plain"
    metadata: Metadata = field(factory=dict)


@frozen
class ChatSummary:
    """What a conversation was about."""

    session_id: Id
    message_count: int
    summary: str | None = None
    total_tokens: int | None = None


@frozen
class ChatDeleted:
    """A message that is gone from the history."""

    message_id: Id
    deleted: bool


@frozen
class ChatCancel:
    """What `chat.cancel` takes; all of it may be left out."""

    message_id: Annotated[Id | None, Meta(description="The message of the path, again.")] = None
    session_id: Annotated[Id | None, Meta(description="The session that the message is of.")] = None
    reason: Annotated[str | None, Meta(max_length=500, description="Why; kept with the task.")] = None


@frozen
class ChatCancelled:
    """Whether a message's turn was stopped; false when it had already ended."""

    message_id: Id
    cancelled: bool
    session_id: Annotated[Id | None, Meta(description="The session that the message is of.")] = None
