"""Routes of consistency: what `doctor` asks the service for."""

from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.consistency import ServiceCheck, TenantCheck
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

consistency_routes = Routes()


@consistency_routes.add(
    "GET",
    "orchestrator.check",
    access=Access.ADMIN,
    rate_class=RateClass.ADMIN,
    answers="orchestrator.check",
    answer=ServiceCheck,
)
async def overview(call: RouteCall) -> RouteAnswer:
    """Show how Redis is set up, and every tenant that has records; looks through all keys."""
    return RouteAnswer(await call.services.examinations.overview())


@consistency_routes.add(
    "GET",
    "tenant.check",
    access=Access.ADMIN,
    rate_class=RateClass.ADMIN,
    id_name="tenant_id",
    answers="tenant.check",
    answer=TenantCheck,
)
async def check(call: RouteCall) -> RouteAnswer:
    """Look whether every task of a tenant is in one place, and lists, counts and timers agree with the records."""
    return RouteAnswer(await call.services.examinations.check(call.id))


@consistency_routes.add(
    "POST",
    "tenant.repair",
    access=Access.ADMIN,
    rate_class=RateClass.ADMIN,
    id_name="tenant_id",
    answers="tenant.repaired",
    answer=TenantCheck,
)
async def repair(call: RouteCall) -> RouteAnswer:
    """Mend what is wrong with a tenant, as far as that is safe."""
    return RouteAnswer(await call.services.examinations.repair(call.ctx, call.id))
