"""Drains come to their end without a caller that waits for them."""

from orchestrator.models.operations.tenant import TenantState
from orchestrator.queue.attempts.services import QueueServices


async def advance_drain(services: QueueServices, tenant_id: str) -> None:
    """Take the drain of a tenant on: put aside what its deadline has overtaken, or notice that it is done."""
    if await services.tenants.advance(tenant_id, services.kinds.passed_over_by_drains) is TenantState.ACTIVE:
        await services.ready.mark(tenant_id)
