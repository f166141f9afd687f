"""Batches as the guide for frontends asks for them: `workflow.batch`, which becomes `batch.create`."""

import re
from typing import Annotated, Final

from attrs import evolve, field, frozen
from msgspec import Meta

from orchestrator.dialects.runs import TOLD
from orchestrator.errors import InvalidBody
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.sessions.chat import Content
from orchestrator.models.sessions.session import Metadata
from orchestrator.models.tasks.batch import (
    ITEMS_MAX,
    PRIORITY,
    Batch,
    BatchCreate,
    BatchItem,
    BatchOperation,
    CallbackRequest,
)
from orchestrator.models.tasks.task import TaskStatus

HIGHEST: Final = 5
"""The highest priority of a batch: more urgent ones are asked for, and get this."""
LOWEST: Final = 9
_ITEM_ID: Final = re.compile(r"^(\$\.data\.items\[\d+\])\.item_id$")
_OPERATIONS: Final = {"embedding": BatchOperation.EMBEDDING}
"""The service's own operation by the documented one; the others need an agent or a workflow."""


@frozen
class WorkflowBatchItem:
    """One item of a batch."""

    id: Annotated[Id, Meta(description="The client's own name of it, which comes back with its result.")]
    content: Content
    metadata: Metadata = field(factory=dict)


@frozen
class ProcessingOptions:
    """What works on the items."""

    agent_id: Annotated[Id | None, Meta(description="The agent that is asked with each of them.")] = None
    workflow_id: Annotated[Id | None, Meta(description="The workflow that runs with each of them, instead.")] = None


@frozen
class WorkflowBatchConfig:
    """How a batch is run."""

    priority: Annotated[
        int | None, Meta(ge=0, le=10, description="0 is the most urgent; batches are taken from 5 to 9.")
    ] = None
    callback_url: Annotated[str | None, Meta(max_length=2048, description="Who is told of its end.")] = None
    processing_options: ProcessingOptions = ProcessingOptions()


@frozen
class WorkflowBatch:
    """What `workflow.batch` takes."""

    operation_type: Annotated[
        Id,
        Meta(
            description="`embedding`, or the name of what works on the items: of an agent or a workflow of the tenant, "
            "where `processing_options` name none."
        ),
    ]
    items: Annotated[list[WorkflowBatchItem], Meta(min_length=1, max_length=ITEMS_MAX)]
    config: WorkflowBatchConfig = WorkflowBatchConfig()


@frozen
class WorkflowBatchAccepted:
    """A batch that was taken; `workflow.status`, `workflow.results` and `workflow.cancel` take its id."""

    workflow_id: Annotated[Id, Meta(description="The run: the same as `batch_id`.")]
    batch_id: Id
    status: Annotated[str, Meta(description="`queued`; of a repeated request as in `workflow.status`.")]
    items_count: int
    estimated_completion_time: Annotated[Timestamp | None, Meta(description="Not known: null.")] = None


def is_set_up(asked: WorkflowBatch) -> bool:
    """Tell whether a request says itself what works on its items."""
    options = asked.config.processing_options
    return asked.operation_type in _OPERATIONS or options.agent_id is not None or options.workflow_id is not None


def batch_of(asked: WorkflowBatch, *, agent_id: str | None = None, workflow_id: str | None = None) -> BatchCreate:
    """Return the request in the service's own words.

    Args:
        asked: the request.
        agent_id: of the tenant, for a request that does not say what works on its items.
        workflow_id: the same.
    """
    options, priority = asked.config.processing_options, asked.config.priority
    operation = _OPERATIONS.get(asked.operation_type)
    workflow = None if operation else options.workflow_id or workflow_id
    agent = None if operation or (workflow and not options.agent_id) else options.agent_id or agent_id
    return BatchCreate(
        items=[_item(item, as_input=workflow is not None and agent is None) for item in asked.items],
        agent_id=agent,
        workflow_id=workflow,
        operation=operation,
        priority=PRIORITY if priority is None else min(max(priority, HIGHEST), LOWEST),
        callback=None if asked.config.callback_url is None else CallbackRequest(asked.config.callback_url),
    )


def in_words_of_batch(refused: InvalidBody) -> InvalidBody:
    """Return the refusal of a batch with the paths that its client has written."""
    details = [evolve(fault, path=_path(fault.path)) for fault in refused.details]
    if details == refused.details:
        return refused
    first = details[0]
    return InvalidBody(f"{first.path} {first.message}.", details=details)


def _path(own: str) -> str:
    if own == "$.data.callback.url":
        return "$.data.config.callback_url"
    return _ITEM_ID.sub(r"\1.id", own)


def _item(item: WorkflowBatchItem, *, as_input: bool) -> BatchItem:
    if as_input:
        return BatchItem(input={"content": item.content}, metadata=item.metadata, item_id=item.id)
    return BatchItem(content=item.content, metadata=item.metadata, item_id=item.id)


def accepted(batch: Batch, standing: TaskStatus) -> WorkflowBatchAccepted:
    """Return what is answered to a batch that was taken."""
    return WorkflowBatchAccepted(batch.batch_id, batch.batch_id, TOLD[standing], batch.total)
