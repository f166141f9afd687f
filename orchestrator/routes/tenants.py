"""Routes of the administration of tenants."""

from orchestrator.errors import NotFound
from orchestrator.models.tenant import Tenant, TenantState
from orchestrator.routes.registry import Access, Answer, Call, Routes

tenant_routes = Routes()


@tenant_routes.add(
    "GET",
    "tenant.get",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.details",
    answer=Tenant,
    errors=(NotFound,),
)
async def get(call: Call) -> Answer:
    """Show a tenant's state, and how much of its work is there."""
    return Answer(await call.services.tenants.get(call.id))


@tenant_routes.add(
    "POST",
    "tenant.pause",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.paused",
    answer=Tenant,
    errors=(NotFound,),
)
async def pause(call: Call) -> Answer:
    """Start nothing new of a tenant; its work is still taken in."""
    return Answer(await call.services.tenants.change(call.ctx, call.id, TenantState.PAUSED))


@tenant_routes.add(
    "POST",
    "tenant.resume",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.resumed",
    answer=Tenant,
    errors=(NotFound,),
)
async def resume(call: Call) -> Answer:
    """Take in and start a tenant's work again."""
    return Answer(await call.services.tenants.change(call.ctx, call.id, TenantState.ACTIVE))


@tenant_routes.add(
    "POST",
    "tenant.drain",
    access=Access.ADMIN,
    id_name="tenant_id",
    answers="tenant.draining",
    answer=Tenant,
    errors=(NotFound,),
)
async def drain(call: Call) -> Answer:
    """Take in nothing more of a tenant, and work off what is there."""
    return Answer(await call.services.tenants.change(call.ctx, call.id, TenantState.DRAINING))
