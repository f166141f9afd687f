"""Drains that nobody watches still come to their end."""

from orchestrator.models.operations.tenant import TenantState
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.store.operations.tenants import TenantStates


async def advance_drain(services: QueueServices, tenant_id: str, state: bytes | None) -> None:
    """Take a tenant's drain on, if it drains: put aside what its deadline has overtaken, or notice that it is done."""
    if state is None or state.decode() != TenantState.DRAINING:
        return
    states = TenantStates(services.redis, services.keys, services.settings.event_log_length)
    if await states.advance(tenant_id, services.kinds.passed_over_by_drains) is TenantState.ACTIVE:
        await services.ready.mark(tenant_id)
