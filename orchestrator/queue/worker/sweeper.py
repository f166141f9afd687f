"""The sweeper: slowly looks over all tenants for what a lost message, a lost worker or idleness left lying."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
import trio
from attrs import frozen

from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.drains import advance_drain
from orchestrator.queue.worker.expiry import give_up_expired
from orchestrator.queue.worker.quota_watch import measure_memory, watch_quotas
from orchestrator.services.shared.tenant_isolation import isolate_tenant

_EVERY: Final = 5.0
_log = structlog.get_logger()


@frozen
class SweptTenant:
    """What a look at a tenant has shown."""

    backlog: int
    """All that was accepted and is not done, wherever it stands."""
    lag_seconds: float
    """How long the first one that waits has been there."""
    sessions: int
    """Those in use."""


@frozen
class Sweeper:
    """Finds work whose wake-up was lost, leases that ran out, delayed tasks without timer, and idle sessions."""

    services: QueueServices
    free_slots: Callable[[], int]
    adopt: Callable[[str], Awaitable[None]]
    """Takes over a tenant's tasks whose leases ran out."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sweep every few seconds, for ever; `started` after the first round, which forgets processes of long ago."""
        forgotten = False
        refused: list[str] = []
        while True:
            found: dict[str, SweptTenant] = {}
            before, refused = refused, await measure_memory(self.services)
            for reason in refused:
                if reason not in before:
                    _log.warning("quota.memory_unknown", error=reason)
            for tenant_id in await self.services.tenants.names():
                with isolate_tenant(tenant_id):
                    found[tenant_id] = await self._sweep(tenant_id)
                    if not forgotten:
                        await self.services.tasks.forget_workers(tenant_id)
            self._show(found)
            if not forgotten:
                forgotten = True
                task_status.started()
            await trio.sleep(_EVERY)

    def _show(self, found: Mapping[str, SweptTenant]) -> None:
        metrics = self.services.metrics
        metrics.queue_depths({tenant_id: one.backlog for tenant_id, one in found.items()})
        metrics.queue_lags({tenant_id: one.lag_seconds for tenant_id, one in found.items()})
        metrics.active_sessions({tenant_id: one.sessions for tenant_id, one in found.items()})

    async def _sweep(self, tenant_id: str) -> SweptTenant:
        """Look over one tenant."""
        services = self.services
        used_within_ms = round(services.settings.pause_after * 1000)
        survey = await services.surveys.look(tenant_id, used_within_ms=used_within_ms)
        if survey.depth:
            await services.ready.mark(tenant_id)
            await give_up_expired(services, tenant_id)
            if self.free_slots() > 0:
                await self.adopt(tenant_id)
        for moment_ms in survey.due_ms:
            await services.due.mark(tenant_id, moment_ms)
        if survey.draining:
            await advance_drain(services, tenant_id)
        await services.sessions.idle_moves(tenant_id)
        await watch_quotas(services, tenant_id)
        lag = await services.surveys.lag_seconds(tenant_id, survey) if survey.depth else 0.0
        return SweptTenant(survey.backlog, lag, survey.sessions)
