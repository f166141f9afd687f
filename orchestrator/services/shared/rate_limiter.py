"""Rate limits of requests that no admission script counts."""

from typing import Final

import trio
from attrs import define, field, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.models.common.limits import RateClass, RateState
from orchestrator.models.common.principal import Principal
from orchestrator.services.shared.views import rate_limited
from orchestrator.store.sessions.limits import LimitStore, RateCount
from orchestrator.store.sessions.sessions import Rates

UNBOUNDED_SECONDS: Final = 5.0
"""For so long a class that nothing bounds is not asked for again; a new limit takes effect then."""
_TENANTS: Final = 10_000


def rates_of(settings: AgentOrchestratorSettings) -> Rates:
    """Return the rate limits that the settings name."""
    return Rates(settings.rate_tenant, settings.rate_user, settings.rate_burst)


@frozen
class RateLimiter:
    """Counts requests against their tenant's and their user's limit."""

    store: LimitStore
    rates: Rates

    async def check(self, principal: Principal, cost: int = 1) -> RateState:
        """Count a request.

        Args:
            principal: whose request it is.
            cost: how many requests it counts as; 0 looks whether another one may pass, and counts none.

        Returns:
            Where the client stands in the limit that is nearer to be reached.

        Raises:
            RateLimited: too many came; says how long to wait.
        """
        count = await self.store.count(principal.tenant_id, principal.user_id, self.rates, cost)
        return _state(count, self.rates.burst_seconds)


@define(eq=False)
class ClassLimiter:
    """Counts requests against the limit of their class: the tenant's, or of administration the API key's.

    Args:
        store: where they are counted.
        burst_seconds: seconds' worth that may come at once.
        admin_rate: requests a second of an API key to routes of administration; 0: any.
    """

    store: LimitStore
    burst_seconds: float
    admin_rate: float
    _unbounded: dict[tuple[str, RateClass], float] = field(factory=dict, init=False)

    async def check(self, principal: Principal, rate_class: RateClass) -> RateState | None:
        """Count a request; None: nothing bounds its class.

        Raises:
            RateLimited: too many came; says how long to wait.
        """
        if rate_class is RateClass.ADMIN:
            if not self.admin_rate:
                return None
            return _state(
                await self.store.count_admin(principal.name, self.admin_rate, self.burst_seconds), self.burst_seconds
            )
        now, key = trio.current_time(), (principal.tenant_id, rate_class)
        if now < self._unbounded.get(key, 0.0):
            return None
        count = await self.store.count_class(principal.tenant_id, rate_class, self.burst_seconds)
        if count is not None:
            return _state(count, self.burst_seconds)
        if len(self._unbounded) >= _TENANTS:
            self._unbounded.clear()
        self._unbounded[key] = now + UNBOUNDED_SECONDS
        return None


def nearer(one: RateState | None, other: RateState | None) -> RateState | None:
    """Return the state of the limit that is nearer to be reached."""
    if one is None or other is None:
        return other if one is None else one
    return one if one.remaining <= other.remaining else other


def _state(count: RateCount, burst_seconds: float) -> RateState:
    if not count.passed:
        raise rate_limited(count.ms, count.limit)
    return RateState(count.window, count.left, count.ms / 1000, burst_seconds)
