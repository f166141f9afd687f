"""Routes of batches."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.errors import IdempotencyKeyReused, NotFound, QueueFull, Unprocessable
from orchestrator.models.common.limits import RateClass
from orchestrator.models.tasks.batch import Batch, BatchCancelled, BatchCreate, BatchStatus, ItemResult
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.routes.http.paging import Cursor, Limit, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes

batch_routes = Routes()


@frozen
class BatchQuery:
    """What `batch.list` takes."""

    status: Annotated[BatchStatus | None, Meta(description="Only batches in this status.")] = None
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
    page = await call.services.batches.list(call.ctx, status=query.status, cursor=query.cursor, limit=query.limit)
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
