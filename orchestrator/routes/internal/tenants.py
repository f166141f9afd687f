"""Routes of the administration of tenants."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.errors import NotFound, QueueFull, TenantDraining, TransitionRefused, Unprocessable
from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.tenant import (
    CallbackSecret,
    DrainRequest,
    Queue,
    Tenant,
    TenantSettings,
    TenantState,
)
from orchestrator.models.operations.transfer import Imported, TransferItem, TransferItems
from orchestrator.routes.http.paging import Cursor, Limit, PageQuery, page_answer
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

tenant_routes = Routes()


@frozen
class TenantQuery:
    """What `tenant.list` takes."""

    state: Annotated[TenantState | None, Meta(description="Only tenants in this state.")] = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@tenant_routes.add(
    "GET",
    "tenant.list",
    access=Access.ADMIN,
    query=TenantQuery,
    answers="tenant.list",
    answer=Tenant,
    paged=True,
    rate_class=RateClass.ADMIN,
)
async def list_tenants(call: RouteCall) -> RouteAnswer:
    """List tenants by name."""
    query: TenantQuery = call.query
    page = await call.services.tenants.list(state=query.state, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


@tenant_routes.add(
    "GET",
    "tenant.get",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.details",
    answer=Tenant,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def get(call: RouteCall) -> RouteAnswer:
    """Show a tenant's state, what is configured of it, and how much of its work is there."""
    return RouteAnswer(await call.services.tenants.get(call.id))


@tenant_routes.add(
    "PUT",
    "tenant.configure",
    access=Access.ADMIN,
    id_name="tenant_id",
    body=TenantSettings,
    answers="tenant.configured",
    answer=Tenant,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def configure(call: RouteCall) -> RouteAnswer:
    """Change a tenant's weight and bounds; null removes what is its own."""
    return RouteAnswer(await call.services.tenants.configure(call.ctx, call.id, call.body))


@tenant_routes.add(
    "POST",
    "tenant.pause",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.paused",
    answer=Tenant,
    errors=(NotFound, TransitionRefused),
    rate_class=RateClass.ADMIN,
)
async def pause(call: RouteCall) -> RouteAnswer:
    """Start nothing new of a tenant; its work is still taken in."""
    return RouteAnswer(await call.services.tenants.change(call.ctx, call.id, TenantState.PAUSED))


@tenant_routes.add(
    "POST",
    "tenant.resume",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.resumed",
    answer=Tenant,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def resume(call: RouteCall) -> RouteAnswer:
    """Take in and start a tenant's work again."""
    return RouteAnswer(await call.services.tenants.change(call.ctx, call.id, TenantState.ACTIVE))


@tenant_routes.add(
    "POST",
    "tenant.drain",
    access=Access.ADMIN,
    id_name="tenant_id",
    body=DrainRequest,
    answers="tenant.draining",
    answer=Tenant,
    errors=(NotFound, Unprocessable),
    rate_class=RateClass.ADMIN,
)
async def drain(call: RouteCall) -> RouteAnswer:
    """Take in nothing more of a tenant, and work off or put aside what is there."""
    return RouteAnswer(await call.services.tenants.change(call.ctx, call.id, TenantState.DRAINING, call.body))


@tenant_routes.add(
    "GET",
    "tenant.callback_secret",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.callback_secret",
    answer=CallbackSecret,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def callback_secret(call: RouteCall) -> RouteAnswer:
    """Show the secret that signs a tenant's callbacks."""
    return RouteAnswer(await call.services.tenants.callback_secret(call.ctx, call.id))


@tenant_routes.add(
    "POST",
    "tenant.rotate_callback_secret",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.callback_secret",
    answer=CallbackSecret,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def rotate_callback_secret(call: RouteCall) -> RouteAnswer:
    """Replace the secret that signs a tenant's callbacks; the old one signs beside it for a day."""
    return RouteAnswer(await call.services.tenants.callback_secret(call.ctx, call.id, rotate=True))


@tenant_routes.add(
    "GET",
    "tenant.export",
    access=Access.ADMIN,
    id_name="tenant_id",
    query=PageQuery,
    answers="tenant.exported",
    answer=TransferItem,
    paged=True,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def export(call: RouteCall) -> RouteAnswer:
    """Show a tenant's queued work, in the order in which it is to be imported elsewhere."""
    query: PageQuery = call.query
    page = await call.services.transfers.export(call.id, cursor=query.cursor, limit=query.limit)
    if query.cursor is None:
        await call.services.audit.done(call.ctx, "tenant.export", "from the start", tenant_id=call.id)
    return page_answer(page, query.limit)


@tenant_routes.add(
    "POST",
    "tenant.import",
    access=Access.ADMIN,
    id_name="tenant_id",
    body=TransferItems,
    answers="tenant.imported",
    answer=Imported,
    errors=(TenantDraining, QueueFull),
    rate_class=RateClass.ADMIN,
)
async def take_in(call: RouteCall) -> RouteAnswer:
    """Take in queued work from elsewhere; tasks that are there already are skipped."""
    given: TransferItems = call.body
    taken = await call.services.transfers.take_in(call.ctx, call.id, given.items, check_only=given.check_only)
    return RouteAnswer(taken)


@tenant_routes.add(
    "GET",
    "queue.list",
    access=Access.ADMIN,
    query=PageQuery,
    answers="queue.list",
    answer=Queue,
    paged=True,
    rate_class=RateClass.ADMIN,
)
async def list_queues(call: RouteCall) -> RouteAnswer:
    """List the queues of all tenants, by the tenants' names."""
    query: PageQuery = call.query
    return page_answer(await call.services.tenants.queues(cursor=query.cursor, limit=query.limit), query.limit)


@tenant_routes.add(
    "GET",
    "queue.get",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="queue.details",
    answer=Queue,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def get_queue(call: RouteCall) -> RouteAnswer:
    """Show a tenant's queue: how much is where, and whose turn it is."""
    return RouteAnswer(await call.services.tenants.queue(call.id))
