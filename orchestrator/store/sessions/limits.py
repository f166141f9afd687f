"""Rate limits in Redis."""

from typing import Any, Final

from attrs import frozen

from orchestrator.models.common.limits import RateClass
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.tenant_store import TenantStore

_RATE_LIMIT: Final = Script("sessions/rate_limit")
_CLASS: Final = Script("limits/count_class")
_ADMIN: Final = Script("limits/count_admin")


@frozen
class RateCount:
    """What became of a request at a limit."""

    passed: bool
    ms: int
    """Until the limit is whole again, or how long to wait."""
    window: int = 0
    """Requests in a window."""
    left: int = 0
    """Of these."""
    limit: str = ""
    """The name of the limit that is reached, where it has not passed."""


class LimitStore(TenantStore):
    """Counts requests."""

    async def count(self, tenant_id: str, user_id: str, rates: Rates, cost: int = 1) -> RateCount:
        """Count a request of `cost` against the limits of its tenant and its user; tells of the nearer one."""
        return _read(
            await self.run(
                _RATE_LIMIT,
                tenant_id,
                rates.tenant,
                rates.user,
                rates.burst_seconds,
                cost,
                keys=[self.keys.tenant_limit(tenant_id), self.keys.user_limit(tenant_id, user_id)],
            )
        )

    async def count_class(self, tenant_id: str, rate_class: RateClass, burst_seconds: float) -> RateCount | None:
        """Count a request against the tenant's limit of its class; None: there is none."""
        name = f"rate_{rate_class}"
        reply = await self.run(
            _CLASS,
            tenant_id,
            name,
            self.limit_defaults[name],
            burst_seconds,
            keys=[self.keys.class_limit(tenant_id, rate_class)],
        )
        return None if reply[0] == _UNBOUNDED else _read(reply)

    async def count_admin(self, key_name: str, rate: float, burst_seconds: float) -> RateCount:
        """Count a request of an API key to a route of administration."""
        return _read(await _ADMIN(self.redis, keys=[self.keys.admin_limit(key_name)], args=[rate, burst_seconds]))


_UNBOUNDED: Final = 2


def _read(reply: Any) -> RateCount:
    if not reply[0]:
        return RateCount(False, reply[1], limit=reply[2].decode())
    return RateCount(True, *reply[1:])
