"""Routes of batches."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.errors import IdempotencyKeyReused, InvalidBody, NotFound, QueueFull, Unprocessable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import Id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.tasks.batch import Batch, BatchCancelled, BatchCreate, BatchStatus, ItemResult
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.routes.dialects.batches import (
    WorkflowBatch,
    WorkflowBatchAccepted,
    accepted,
    batch_of,
    in_words_of_batch,
    is_set_up,
)
from orchestrator.routes.http.paging import Cursor, Limit, Since, Until, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes
from orchestrator.services.runs.views import batch_standing
from orchestrator.services.scheduling.batches import BatchFilter
from orchestrator.services.shared.paging import Period

batch_routes = Routes()


@frozen
class BatchQuery:
    """What `batch.list` takes."""

    status: Annotated[BatchStatus | None, Meta(description="Only batches in this status.")] = None
    user_id: Annotated[Id | None, Meta(description="Only batches of this user.")] = None
    agent_id: Annotated[Id | None, Meta(description="Only batches that this agent answers.")] = None
    workflow_id: Annotated[Id | None, Meta(description="Only batches that this workflow runs with.")] = None
    since: Since = None
    until: Until = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@frozen
class ResultQuery:
    """What `batch.results` takes."""

    status: Annotated[TaskStatus | None, Meta(description="Only items in this status.")] = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@batch_routes.add(
    "POST",
    "batch.create",
    permission="workflow:execute",
    body=BatchCreate,
    answers="batch.accepted",
    answer=Batch,
    status=202,
    idempotent=True,
    errors=(NotFound, IdempotencyKeyReused, QueueFull, Unprocessable),
    rate_class=RateClass.WRITE,
)
async def create(call: RouteCall) -> RouteAnswer:
    """Ask an agent many questions, a few at a time."""
    batch, replayed = await call.services.batches.create(call.ctx, call.body)
    return RouteAnswer(batch, replayed=replayed)


@batch_routes.add(
    "POST",
    "workflow.batch",
    permission="workflow:execute",
    body=WorkflowBatch,
    answers="workflow.batch_accepted",
    answer=WorkflowBatchAccepted,
    status=202,
    idempotent=True,
    errors=(IdempotencyKeyReused, QueueFull, Unprocessable),
    rate_class=RateClass.WRITE,
)
async def create_run(call: RouteCall) -> RouteAnswer:
    """Have many items worked on: `batch.create`, as the guide for frontends asks for it."""
    asked: WorkflowBatch = call.body
    try:
        batch, replayed = await call.services.batches.create(call.ctx, await _set_up(call, asked))
    except NotFound as error:
        raise _not_set_up(asked, error.message) from None
    except InvalidBody as refused:
        raise in_words_of_batch(refused) from None
    return RouteAnswer(accepted(batch, batch_standing(batch) if replayed else TaskStatus.PENDING), replayed=replayed)


async def _set_up(call: RouteCall, asked: WorkflowBatch) -> BatchCreate:
    """Return the batch that is asked for; what does not say what works on it is for what has the operation's name.

    Raises:
        NotFound: nothing of the tenant has it.
    """
    if is_set_up(asked):
        return batch_of(asked)
    name = asked.operation_type
    try:
        await call.services.agents.get(call.ctx, name, None)
    except NotFound:
        await call.services.workflows.engine.must_exist(call.ctx, name)
        return batch_of(asked, workflow_id=name)
    return batch_of(asked, agent_id=name)


def _not_set_up(asked: WorkflowBatch, reason: str) -> Unprocessable:
    """Say that nothing works on the items; it is no fault of the address, so not 404."""
    path = "$.data.operation_type" if not is_set_up(asked) else "$.data.config.processing_options"
    message = f"Nothing is set up for the operation {asked.operation_type!r}: {reason}"
    return Unprocessable(message, details=[FieldFault(path, reason)])


@batch_routes.add(
    "GET",
    "batch.get",
    permission="workflow:read",
    id_name="batch_id",
    answers="batch.details",
    answer=Batch,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def get(call: RouteCall) -> RouteAnswer:
    """Show a batch and how far it is."""
    return RouteAnswer(await call.services.batches.get(call.ctx, call.id))


@batch_routes.add(
    "GET",
    "batch.results",
    permission="workflow:read",
    id_name="batch_id",
    query=ResultQuery,
    answers="batch.results",
    answer=ItemResult,
    paged=True,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def results(call: RouteCall) -> RouteAnswer:
    """List the items of a batch in their order, each with what became of it."""
    query: ResultQuery = call.query
    page = await call.services.batches.results(
        call.ctx, call.id, status=query.status, cursor=query.cursor, limit=query.limit
    )
    return page_answer(page, query.limit)


@batch_routes.add(
    "GET",
    "batch.list",
    permission="workflow:read",
    query=BatchQuery,
    answers="batch.list",
    answer=Batch,
    paged=True,
    rate_class=RateClass.READ,
)
async def list_batches(call: RouteCall) -> RouteAnswer:
    """List batches, the newest first."""
    query: BatchQuery = call.query
    period = Period(query.since, query.until)
    wanted = BatchFilter(query.status, query.user_id, query.agent_id, query.workflow_id, period)
    page = await call.services.batches.list(call.ctx, wanted, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


@batch_routes.add(
    "DELETE",
    "batch.cancel",
    permission="workflow:execute",
    id_name="batch_id",
    answers="batch.cancelled",
    answer=BatchCancelled,
    errors=(NotFound,),
    rate_class=RateClass.WRITE,
)
async def cancel(call: RouteCall) -> RouteAnswer:
    """Stop a batch; one that has ended stays as it is."""
    return RouteAnswer(await call.services.batches.cancel(call.ctx, call.id))
