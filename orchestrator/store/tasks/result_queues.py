"""Queues of results: what services are told of the work that they have asked for through the queue."""

from typing import Final

from orchestrator.store.tenant_store import TenantStore

LONGEST: Final = 10_000
"""Messages of one service and tenant that are kept; the oldest go first."""
KEPT_SECONDS: Final = 7 * 86_400


class ResultQueues(TenantStore):
    """Writes results."""

    async def send(self, tenant_id: str, service: str, message: bytes) -> None:
        """Add a message to the queue of a service.

        Raises:
            StoreUnavailable: Redis is away; it may have been added all the same.
        """
        key = self.keys.service_results(service, tenant_id)
        await self.redis.gather(
            [("XADD", key, "MAXLEN", "~", LONGEST, "*", "message", message), ("EXPIRE", key, KEPT_SECONDS)]
        )
