"""Rate limits of requests that no admission script counts."""

from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.principal import Principal
from orchestrator.services.shared.views import rate_limited, rate_state
from orchestrator.store.sessions.limits import LimitStore
from orchestrator.store.sessions.sessions import Rates


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

        Raises:
            RateLimited: too many came; says how long to wait.
        """
        passed, wait_ms = await self.store.count(principal.tenant_id, principal.user_id, self.rates, cost)
        if not passed:
            raise rate_limited(wait_ms)
        return rate_state(self.rates, wait_ms)
