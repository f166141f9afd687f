"""Checks and repairs that an operator asks a process for, from any machine."""

from attrs import frozen

from orchestrator.models.common.principal import RequestContext
from orchestrator.models.operations.consistency import ServiceCheck, TenantCheck, ViolationKind
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.store.consistency.consistency import ConsistencyStore
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.probe import ProbeStore


@frozen
class ExaminationService:
    """Checks the consistency of tenants and mends it; every repair is audited.

    Args:
        checker: looks and mends.
        store: finds tenants that no list names.
        probe: asks Redis for its settings.
        trail: where repairs are recorded.
    """

    checker: ConsistencyChecker
    store: ConsistencyStore
    probe: ProbeStore
    trail: AuditTrail

    async def overview(self) -> ServiceCheck:
        """Return what Redis says of itself, and all tenants: looks through all keys."""
        return ServiceCheck(await self.probe.facts(), sorted(await self.store.all_tenants()))

    async def check(self, tenant_id: str) -> TenantCheck:
        """Check a tenant."""
        return _told(await self.checker.audit(tenant_id))

    async def repair(self, ctx: RequestContext, tenant_id: str) -> TenantCheck:
        """Check a tenant, and mend what can be mended safely."""
        report = await self.checker.repair(await self.checker.audit(tenant_id))
        if any(fault.kind is ViolationKind.KEY_DAMAGED for fault in report.faults):
            # What needs those keys can be looked at now.
            mended = [fault for fault in report.faults if fault.mended]
            report = await self.checker.repair(await self.checker.audit(tenant_id))
            report.faults[:0] = [fault for fault in mended if fault not in report.faults]
        done = sum(fault.mended for fault in report.faults)
        await self.trail.done(ctx, "tenant.repair", f"{done} of {len(report.faults)} mended", tenant_id=tenant_id)
        return _told(report)


def _told(report: Report) -> TenantCheck:
    places = {str(place): count for place, count in report.places.items()}
    return TenantCheck(report.tenant_id, report.tasks, report.sessions, report.reservations, places, report.faults)
