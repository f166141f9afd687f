"""Operators are told of quotas that are nearly reached, and of what was dropped because a list was full."""

import structlog

from orchestrator.queue.attempts.services import QueueServices

_log = structlog.get_logger()


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
