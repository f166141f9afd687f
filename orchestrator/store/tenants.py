"""Tenants in Redis."""

from typing import Final

from orchestrator.models.tenant import Tenant, TenantState
from orchestrator.store.base import TenantStore
from orchestrator.store.scripts import Script

_STATE: Final = Script("tenant_state")


class TenantStates(TenantStore):
    """The states of tenants."""

    async def known(self, tenant_id: str) -> bool:
        """Tell whether the tenant ever had a session."""
        return bool(await self.redis.sismember(self.keys.tenants, tenant_id))

    async def look(self, tenant_id: str, new: TenantState | None = None) -> tuple[Tenant, TenantState]:
        """Return a tenant and the state it was in before, after changing its state to `new` if that is given."""
        reply = await self.run(_STATE, tenant_id, new or "")
        state, queued, in_hand, delayed, dead_letters, previous = reply
        tenant = Tenant(tenant_id, TenantState(state.decode()), queued, in_hand, delayed, dead_letters)
        return tenant, TenantState(previous.decode())
