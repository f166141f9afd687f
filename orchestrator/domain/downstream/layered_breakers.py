"""The breakers of one service: one for each callee, and one for the service.

A call needs the permit of its callee's breaker and then that of the service's. A failure counts in both, but opens the
service's only where that can't be the fault of one tenant or its callees (`breaker`).
"""

from attrs import define, field, frozen

from orchestrator.domain.downstream.breaker import Breaker, BreakerPolicy, Permit
from orchestrator.domain.downstream.call_outcomes import CallOutcome
from orchestrator.domain.downstream.callees import CALLEES, ByCallee, Callee
from orchestrator.models.operations.breakers import BreakerState


@frozen
class Permits:
    """Permission of both breakers for one call."""

    callee: Callee
    own_breaker: Breaker
    """The callee's."""
    own: Permit
    service: Permit

    @property
    def probe(self) -> bool:
        """Whether the call probes the service."""
        return self.service.probe


@define
class LayeredBreakers:
    """Breakers of one service and of its callees.

    Args:
        policy: of each of them.
        callees: number of callees that are remembered.
    """

    policy: BreakerPolicy
    callees: int = CALLEES
    service: Breaker = field(init=False)
    _own: ByCallee[Breaker] = field(init=False)

    @service.default
    def _service(self) -> Breaker:
        return Breaker(self.policy)

    @_own.default
    def _no_callees(self) -> ByCallee[Breaker]:
        return ByCallee(lambda: Breaker(self.policy), self.callees)

    def own(self, callee: Callee) -> Breaker:
        """Return the breaker of a callee."""
        return self._own.of(callee)

    def ask(self, callee: Callee, now: float) -> Permits | Breaker:
        """Return permits for one call, or the breaker that rejects it."""
        breaker = self._own.of(callee)
        own = breaker.ask(now)
        if own is None:
            return breaker
        service = self.service.ask(now, callee[0])
        if service is None:
            breaker.report(own, None, now)
            return self.service
        return Permits(callee, breaker, own, service)

    def rejecting(self, permits: Permits) -> Breaker | None:
        """Return the breaker that has opened since a call got its permits; None: the call may begin."""
        if not permits.service.probe and self.service.state is not BreakerState.CLOSED:
            return self.service
        return permits.own_breaker if permits.own_breaker.state is BreakerState.OPEN else None

    def report(self, permits: Permits, outcome: CallOutcome, now: float) -> None:
        """Record the outcome of a call."""
        match outcome:
            case CallOutcome.WELL | CallOutcome.FAILED:
                failed = outcome is CallOutcome.FAILED
                permits.own_breaker.report(permits.own, failed, now)
                tenant_id, name = permits.callee
                self.service.report(permits.service, failed, now, tenant_id, runs_callee=bool(name))
            case CallOutcome.AWAY:
                permits.own_breaker.report(permits.own, None, now)
                self.service.report(permits.service, True, now)
            case CallOutcome.UNKNOWN:
                permits.own_breaker.report(permits.own, None, now)
                self.service.report(permits.service, None, now)
