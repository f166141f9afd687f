"""Tasks: units of queued work, each of one tenant."""

from enum import StrEnum
from typing import Annotated, Any, Final

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.envelope import ErrorBody, MessageType
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp

TASK_SCHEMA_VERSION = "1.1"
TASK_TIMEOUT_MS = 120_000
"""How long a task may take that does not say otherwise."""


class TaskStatus(StrEnum):
    """Where a task stands; `domain.task_states` has the table of its moves."""

    PENDING = "pending"
    PROCESSING = "processing"
    RETRYING = "retrying"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARTIAL = "partial"


class CancelledBy(StrEnum):
    """Who has stopped work before its end."""

    USER = "user"
    """Whose work it is."""
    OPERATOR = "operator"
    """Another user, who sees the whole tenant."""
    SYSTEM = "system"
    """The service itself: the session's time was over, or another item of the batch has failed."""


WHO_CANCELLED: Final = Meta(description="Who has stopped it, where it was stopped.")


class Lane(StrEnum):
    """One of the three streams of a tenant's queue."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@frozen
class TaskMetadata:
    """What travels with a task beside its payload."""

    user_id: Id
    timeout_ms: Annotated[int, Meta(ge=1)] = TASK_TIMEOUT_MS
    retry_count: int = 0
    message_id: str | None = None
    deduplication_key: str | None = None
    trace_id: str | None = None
    traceparent: str | None = None
    request_id: str | None = None
    carried: dict[str, Any] = field(factory=dict)
    """What else came with the task; it is kept, and passed on to services."""


@frozen
class TaskMessage:
    """An entry of a tenant's task queue: the platform's message schema 1.1."""

    message_id: Id
    task_id: Id
    tenant_id: Id
    correlation_id: Id
    created_at: Timestamp
    type: MessageType
    metadata: TaskMetadata
    payload: dict[str, Any]
    session_id: Id | None = None
    conversation_id: str | None = None
    expires_at: Timestamp | None = None
    schema_version: str = TASK_SCHEMA_VERSION
    status: TaskStatus = TaskStatus.PENDING
    priority: Annotated[int, Meta(ge=0, le=9)] = 5
    source_service: str = "agent_orchestrator"
    target_service: str = "agent_orchestrator"
    delegated_services: list[Any] = field(factory=list)


@frozen
class Task:
    """A task as its owner sees it."""

    task_id: Id
    tenant_id: Id
    type: Annotated[str, Meta(description="`domain.action`")]
    status: TaskStatus
    attempt: Annotated[int, Meta(description="How many times the task was claimed.")]
    priority: int
    created_at: Timestamp
    correlation_id: Id
    session_id: Id | None = None
    message_id: Id | None = None
    user_id: Id | None = None
    scheduled_for: Annotated[Timestamp | None, Meta(description="When it begins, if not at once.")] = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    result: dict[str, Any] | None = None
    error: ErrorBody | None = None
    checkpoints: Annotated[list[str], Meta(description="The calls of the plan that are done.")] = field(factory=list)
    replay_of: Annotated[Id | None, Meta(description="The task that this one does again.")] = None
    replayed_as: Annotated[Id | None, Meta(description="The task that did this one again last.")] = None
    agent_id: Annotated[Id | None, Meta(description="The agent that answers it, from its first attempt on.")] = None
    agent_version: Annotated[str | None, Meta(description="The version of the agent that answers it.")] = None
    cancel_reason: Annotated[str | None, Meta(description="Why it was stopped, where that was said.")] = None
    cancelled_by: Annotated[CancelledBy | None, WHO_CANCELLED] = None
    input: Annotated[
        dict[str, Any] | None, Meta(description="What was asked; null in lists, and where it can't be read.")
    ] = None


@frozen
class TaskCancelled:
    """Whether a task was stopped; false when it had already ended."""

    task_id: Id
    cancelled: bool
