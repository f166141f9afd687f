"""Administration of tenants: pause, resume, drain."""

from attrs import frozen

from orchestrator.errors import NotFound
from orchestrator.models.principal import RequestContext
from orchestrator.models.tenant import Tenant, TenantState
from orchestrator.store.audit import AuditTrail
from orchestrator.store.ready import ReadyTenants
from orchestrator.store.tenants import TenantStates


@frozen
class TenantService:
    """Shows tenants and changes their states; every change is audited."""

    store: TenantStates
    ready: ReadyTenants
    audit: AuditTrail

    async def get(self, tenant_id: str) -> Tenant:
        """Show a tenant; one that drains is noticed here to be drained.

        Raises:
            NotFound: it never had a session.
        """
        await self._must_be_known(tenant_id)
        tenant, _ = await self.store.look(tenant_id)
        return tenant

    async def change(self, ctx: RequestContext, tenant_id: str, new: TenantState) -> Tenant:
        """Change a tenant's state; doing it twice is fine.

        Raises:
            NotFound: it never had a session.
        """
        await self._must_be_known(tenant_id)
        tenant, previous = await self.store.look(tenant_id, new)
        if new is TenantState.ACTIVE:
            await self.ready.mark(tenant_id)
        await self.audit.record(
            f"tenant.{new}",
            outcome="ok",
            tenant_id=tenant_id,
            user_id=ctx.principal.user_id,
            remote_address=ctx.remote_address,
            correlation_id=ctx.correlation_id,
            detail=f"was {previous}",
        )
        return tenant

    async def _must_be_known(self, tenant_id: str) -> None:
        if not await self.store.known(tenant_id):
            raise NotFound(f"There is no tenant {tenant_id}.")
