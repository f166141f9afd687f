"""Batches: many questions to one agent, or many runs of one workflow, a few at a time."""

from enum import StrEnum
from typing import Annotated, Any, Final

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Moment, Timestamp
from orchestrator.models.sessions.chat import Content
from orchestrator.models.sessions.session import Metadata
from orchestrator.models.tasks.task import WHO_CANCELLED, CancelledBy, TaskStatus

ITEMS_MAX: Final = 10_000
PRIORITY: Final = 6


class OnItemError(StrEnum):
    """What a batch does when an item has failed."""

    CONTINUE = "continue"
    ABORT = "abort"


class BatchOperation(StrEnum):
    """What works on the items of a batch that is for no agent and no workflow."""

    EMBEDDING = "embedding"
    """The Embedding service, through the gateway: budgets and usage are the caller's."""


class BatchStatus(StrEnum):
    """Where a batch stands.

    `stopping`: it was cancelled, or aborted by a failed item, and what runs is being stopped. At its end it is
    `completed` where every item is, `partial` where some are not, `failed` where it was aborted or no item succeeded.
    """

    RUNNING = "running"
    STOPPING = "stopping"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({BatchStatus.COMPLETED, BatchStatus.PARTIAL, BatchStatus.FAILED, BatchStatus.CANCELLED})
"""Where nothing happens to a batch any more."""


class CallbackEvent(StrEnum):
    """What a callback may tell of: a batch has come to its end, whatever that is."""

    COMPLETED = "batch.completed"


class CallbackStatus(StrEnum):
    """Where a callback stands."""

    WAITING = "waiting"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


@frozen
class CallbackRequest:
    """Whom to tell."""

    url: Annotated[str, Meta(min_length=1, max_length=2048, description="Where to; http or https.")]
    events: Annotated[list[CallbackEvent], Meta(min_length=1, max_length=1, description="What of.")] = field(
        factory=lambda: [CallbackEvent.COMPLETED]
    )


@frozen
class BatchCallback:
    """Who is told of a batch's end, and what became of that."""

    url: str
    events: list[CallbackEvent]
    status: CallbackStatus
    attempts: Annotated[int, Meta(ge=0, description="How many times it was sent, or about to be.")] = 0
    last_attempt_at: Timestamp | None = None
    last_error: Annotated[ErrorBody | None, Meta(description="Why the last attempt failed.")] = None


@frozen
class BatchItem:
    """One question to an agent (`content`), or what one run of a workflow works on (`input`)."""

    content: Annotated[Content | None, Meta(description="The question, where the batch is for an agent.")] = None
    input: Annotated[dict[str, Any] | None, Meta(description="The input, where it is for a workflow.")] = None
    metadata: Metadata = field(factory=dict)
    item_id: Annotated[
        Id | None, Meta(description="The client's own name of it, which comes back with its result.")
    ] = None


@frozen
class BatchCreate:
    """What `batch.create` takes."""

    items: Annotated[
        list[BatchItem],
        Meta(min_length=1, max_length=ITEMS_MAX, description="Questions or inputs; they start in this order."),
    ]
    agent_id: Annotated[Id | None, Meta(description="The agent that answers them.")] = None
    workflow_id: Annotated[Id | None, Meta(description="The workflow that runs with each of them, instead.")] = None
    operation: Annotated[
        BatchOperation | None, Meta(description="What is done with the content of each of them, instead.")
    ] = None
    max_concurrency: Annotated[int, Meta(ge=1, le=1000, description="Items that may be queued or running at once.")] = (
        10
    )
    on_item_error: Annotated[
        OnItemError, Meta(description="Whether the other items go on when one has failed, or none any more.")
    ] = OnItemError.CONTINUE
    priority: Annotated[int, Meta(ge=5, le=9, description="6 and more: the low lane; 5: the normal one.")] = PRIORITY
    callback: Annotated[CallbackRequest | None, Meta(description="Whom to tell when the batch has ended.")] = None
    scheduled_for: Moment = None


@frozen
class Batch:
    """A batch and its counts; `pending`, `running`, `completed`, `failed` and `cancelled` add up to `total`."""

    batch_id: Id
    tenant_id: Id
    user_id: Id
    agent_id: Annotated[Id | None, Meta(description="The agent that answers, if it is one.")]
    status: BatchStatus
    total: Annotated[int, Meta(ge=1, description="Items in all.")]
    pending: Annotated[int, Meta(ge=0, description="Items that have not started.")]
    running: Annotated[int, Meta(ge=0, description="Items that have started and not ended.")]
    completed: Annotated[int, Meta(ge=0, description="Items with an answer.")]
    failed: Annotated[int, Meta(ge=0, description="Items that could not be answered.")]
    cancelled: Annotated[int, Meta(ge=0, description="Items that were stopped, or never started.")]
    max_concurrency: int
    on_item_error: OnItemError
    priority: int
    created_at: Timestamp
    correlation_id: Id
    finished_at: Timestamp | None = None
    callback: BatchCallback | None = None
    workflow_id: Annotated[Id | None, Meta(description="The workflow that runs, if it is one.")] = None
    scheduled_for: Annotated[Timestamp | None, Meta(description="When it begins, if not at once.")] = None
    updated_at: Annotated[Timestamp | None, Meta(description="When one of its items ended last.")] = None
    operation: Annotated[BatchOperation | None, Meta(description="What is done with its items, if it is that.")] = None
    cancelled_by: Annotated[CancelledBy | None, WHO_CANCELLED] = None


@frozen
class ItemResult:
    """An item of a batch and what became of it."""

    index: Annotated[int, Meta(ge=0, description="Its place among the items, from 0.")]
    task_id: Annotated[Id | None, Meta(description="Its task; none before the item has come into the queue.")]
    status: TaskStatus
    metadata: Metadata = field(factory=dict)
    attempt: Annotated[int, Meta(ge=0, description="How many times its task was claimed.")] = 0
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    result: Annotated[
        dict[str, Any] | None, Meta(description="The answer, as in `chat.completed`; or the workflow's result.")
    ] = None
    error: ErrorBody | None = None
    item_id: Annotated[Id | None, Meta(description="The client's own name of it, where it has one.")] = None


@frozen
class BatchCancelled:
    """Whether a batch was stopped; false when it had already ended, or was being stopped."""

    batch_id: Id
    cancelled: bool


@frozen
class BatchProgress:
    """How far a batch is."""

    batch_id: Id
    completed: Annotated[int, Meta(ge=0)]
    failed: Annotated[int, Meta(ge=0)]
    total: Annotated[int, Meta(ge=1)]
    cancelled: Annotated[int, Meta(ge=0)]
    status: BatchStatus
    cancelled_by: Annotated[CancelledBy | None, WHO_CANCELLED] = None
