"""Routes of dead letters, and of doing tasks again."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.errors import IdempotencyKeyReused, NotFound, QueueFull, SessionClosed, TaskUnfinished, TenantDraining
from orchestrator.models.common.ids import Id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.common.page import Page
from orchestrator.models.tasks.replay import (
    DeadLetter,
    DeadLetterChoice,
    DeadLetterReplay,
    DeadLettersPurged,
    DeadLettersReplayed,
    EntryId,
    Replayed,
    ReplayRequest,
)
from orchestrator.routes.http.paging import Cursor, Limit, Since, Until, page_answer
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes
from orchestrator.services.operations.dead_letters import DeadLetterFilter

dead_letter_routes = Routes()


@frozen
class DeadLetterQuery:
    """What `dlq.list` takes."""

    error_code: Annotated[str | None, Meta(max_length=40, description="Only those that failed with this code.")] = None
    older_than: Annotated[int | None, Meta(ge=0, description="Only those of at least this age, in seconds.")] = None
    type: Annotated[str | None, Meta(max_length=64, description="Only those of tasks of this type.")] = None
    user_id: Annotated[Id | None, Meta(description="Only those of this user's tasks.")] = None
    since: Since = None
    until: Until = None
    replayed: Annotated[bool | None, Meta(description="Only those that were replayed, or were not.")] = None
    entry: Annotated[EntryId | None, Meta(description="Only this one.")] = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@dead_letter_routes.add(
    "POST",
    "task.replay",
    permission="task:write",
    id_name="task_id",
    status=202,
    body=ReplayRequest,
    answers="task.replayed",
    answer=Replayed,
    idempotent=True,
    own_rate=True,
    errors=(NotFound, TaskUnfinished, IdempotencyKeyReused, SessionClosed, QueueFull, TenantDraining),
    rate_class=RateClass.WRITE,
)
async def replay(call: RouteCall) -> RouteAnswer:
    """Do a task again that has ended; for operators and admins."""
    replayed, repeated = await call.services.replays.replay_own(call.ctx, call.id, call.body)
    return RouteAnswer(replayed, replayed=repeated)


@dead_letter_routes.add(
    "GET",
    "dlq.list",
    access=Access.ADMIN,
    id_name="tenant_id",
    query=DeadLetterQuery,
    answers="dlq.list",
    answer=DeadLetter,
    paged=True,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def list_dead_letters(call: RouteCall) -> RouteAnswer:
    """List what could not be done, the latest first."""
    query: DeadLetterQuery = call.query
    if query.entry is not None:
        return page_answer(Page([await call.services.dead_letters.get(call.id, query.entry)]), query.limit)
    wanted = DeadLetterFilter(
        query.error_code, query.older_than, query.type, query.user_id, query.since, query.until, query.replayed
    )
    page = await call.services.dead_letters.list(call.id, wanted=wanted, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


@dead_letter_routes.add(
    "POST",
    "dlq.replay",
    access=Access.ADMIN,
    id_name="tenant_id",
    body=DeadLetterReplay,
    answers="dlq.replayed",
    answer=DeadLettersReplayed,
    idempotent=True,
    errors=(NotFound, IdempotencyKeyReused, QueueFull, TenantDraining),
    rate_class=RateClass.ADMIN,
)
async def replay_dead_letters(call: RouteCall) -> RouteAnswer:
    """Do dead letters again, as new tasks: up to 100 a request, and for 10 seconds at most."""
    outcome, repeated = await call.services.dead_letters.replay(call.ctx, call.id, call.body)
    return RouteAnswer(outcome, replayed=repeated)


@dead_letter_routes.add(
    "POST",
    "dlq.purge",
    access=Access.ADMIN,
    id_name="tenant_id",
    body=DeadLetterChoice,
    answers="dlq.purged",
    answer=DeadLettersPurged,
    idempotent=True,
    errors=(NotFound, IdempotencyKeyReused),
    rate_class=RateClass.ADMIN,
)
async def purge(call: RouteCall) -> RouteAnswer:
    """Delete dead letters; the records of their tasks stay."""
    purged, repeated = await call.services.dead_letters.purge(call.ctx, call.id, call.body)
    return RouteAnswer(purged, replayed=repeated)
