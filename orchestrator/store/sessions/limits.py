"""Rate limits in Redis."""

from typing import Final

from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.tenant_store import TenantStore

_RATE_LIMIT: Final = Script("sessions/rate_limit")


class LimitStore(TenantStore):
    """Counts requests."""

    async def count(self, tenant_id: str, user_id: str, rates: Rates, cost: int = 1) -> tuple[bool, int]:
        """Count a request of `cost`.

        Returns:
            Whether it may pass; and until when (ms) the limit is whole again, or how long (ms) to wait.
        """
        passed, wait_ms = await self.run(
            _RATE_LIMIT,
            tenant_id,
            rates.tenant,
            rates.user,
            rates.burst_seconds,
            cost,
            keys=[self.keys.tenant_limit(tenant_id), self.keys.user_limit(tenant_id, user_id)],
        )
        return bool(passed), wait_ms
