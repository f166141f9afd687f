"""What tenants keep is measured, and operators are told of quotas that are nearly reached, and of what was dropped."""

import structlog

from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.tenant_isolation import isolate_tenant

_log = structlog.get_logger()


async def measure_memory(services: QueueServices) -> list[str]:
    """Go on measuring what Redis has, and what its tenants keep.

    Returns:
        Redis' words on what its user may not ask for: the limits of the tiers alone apply then, or what came in counts.
    """
    unfit = await services.quotas.fit_memory(services.settings.tenant_memory)
    step = await services.memory_walk.go_on()
    if step.totals is not None:
        for tenant_id in await services.tenants.names():
            with isolate_tenant(tenant_id):
                await services.memory_walk.note(tenant_id, step.totals.get(tenant_id, 0))
    return [reason for reason in (unfit, step.refusal) if reason is not None]


async def watch_quotas(services: QueueServices, tenant_id: str) -> None:
    """Tell what has come to be known of a tenant since any process looked: by the log, a metric and a notice."""
    news = await services.quotas.watch(tenant_id, retain_seconds=int(services.settings.retain_tasks))
    for name, quota in news.nearly_reached.items():
        _log.warning("quota.nearly_reached", tenant_id=tenant_id, quota=name, used=quota.used, limit=quota.limit)
        services.metrics.quota_nearly_reached(name)
        _tell(services, "quota.nearly_reached", tenant_id, quota=name, used=str(quota.used), limit=str(quota.limit))
    for kind, count in news.dropped.items():
        _log.warning("records.dropped", tenant_id=tenant_id, kind=kind, count=count)
        services.metrics.records_dropped(kind, count)
        _tell(services, "records.dropped", tenant_id, kind=kind, count=str(count))


def _tell(services: QueueServices, name: str, tenant_id: str, **about: str) -> None:
    if services.notices is not None:
        services.notices.tell(name, tenant_id=tenant_id, **about)
