"""The circuit breaker: stops calls to what fails too often, and probes until it has recovered.

    closed ── too many failed ──▶ open ── its time is over ──▶ half-open ── a probe succeeded ──▶ closed
                                   ▲                              │
                                   └────── a probe failed ────────┘

Failures that are attributed to a tenant open it only where other tenants have them too; where no other tenant has
called lately, only those of calls that ran no callee's code open it. Failures that are attributed to no tenant, such as
a refused connection, open it by themselves. It decides and counts; it has no clock, and does no I/O.
"""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from orchestrator.models.operations.breakers import BreakerState, Criticality


@frozen
class BreakerPolicy:
    """Thresholds of a breaker."""

    share: float
    """Share of failures, 0 to 1, at which it opens."""
    window: int
    """Number of latest calls that count; with fewer it stays closed."""
    open_seconds: float


POLICIES: Final[Mapping[Criticality, BreakerPolicy]] = {
    Criticality.CRITICAL: BreakerPolicy(0.3, 10, 15.0),
    Criticality.STANDARD: BreakerPolicy(0.5, 20, 30.0),
    Criticality.NON_CRITICAL: BreakerPolicy(0.7, 30, 60.0),
}
WITNESSES: Final = 3
"""Least failures of calls that bear witness against the service (`Breaker._witnesses`), without which a breaker stays
closed; with a large window it is half of those that open it."""


@frozen
class Permit:
    """Permission for one call."""

    era: int
    """Number of the state in which it was given; an outcome that is reported in a later one is ignored."""
    probe: bool = False


@define
class Breaker:
    """One breaker; moments are those of any clock, in seconds.

    Calls and outcomes are attributed to a tenant, or by an empty id to none.
    """

    policy: BreakerPolicy
    state: BreakerState = field(default=BreakerState.CLOSED, init=False)
    told: BreakerState = field(default=BreakerState.CLOSED, init=False)
    """The state that was told last; set by the code that tells of changes."""
    _latest: deque[tuple[bool, str, bool]] = field(init=False)
    """Of each of the latest calls whether it failed, its tenant, and whether it ran a callee's code."""
    _era: int = field(default=0, init=False)
    _permit: Permit = field(default=Permit(0), init=False)
    """For calls while it is closed."""
    _reopens_at: float = field(default=0.0, init=False)
    _probing: bool = field(default=False, init=False)
    _suspect: str = field(default="", init=False)
    """Tenant whose probe has failed: it does not probe again until `_suspect_until`, so that others can."""
    _suspect_until: float = field(default=0.0, init=False)

    @_latest.default
    def _none(self) -> deque[tuple[bool, str, bool]]:
        return deque(maxlen=self.policy.window)

    def ask(self, now: float, tenant_id: str = "") -> Permit | None:
        """Return a permit for one call; None: the call is rejected now."""
        if self.state is BreakerState.OPEN and now >= self._reopens_at:
            self._become(BreakerState.HALF_OPEN)
        if self.state is BreakerState.CLOSED:
            return self._permit
        if self._probing or self.seconds_left(now, tenant_id) > 0:
            return None
        self._probing = True
        return Permit(self._era, probe=True)

    def seconds_left(self, now: float, tenant_id: str = "") -> float:
        """Return the time until a probe for a tenant; 0 where it need not be waited for."""
        if self.state is BreakerState.OPEN:
            return max(0.0, self._reopens_at - now)
        return max(0.0, self._suspect_until - now) if tenant_id and tenant_id == self._suspect else 0.0

    def report(
        self, permit: Permit, failed: bool | None, now: float, tenant_id: str = "", *, runs_callee: bool = False
    ) -> None:
        """Record the outcome of a call; `failed` is None where it says nothing of what is called.

        Args:
            permit: of the call.
            failed: whether it failed.
            now: the moment of its end.
            tenant_id: to which the outcome is attributed; empty: to none.
            runs_callee: whether the call ran the code of an agent, a tool or a workflow.
        """
        if permit.era != self._era:
            return
        if permit.probe:
            self._probing = False
            if failed is not None:
                self._end_probe(failed, now, tenant_id)
        elif failed is not None:
            self._latest.append((failed, tenant_id, runs_callee))
            if failed and self._too_many():
                self._become(BreakerState.OPEN, now)

    def _end_probe(self, failed: bool, now: float, tenant_id: str) -> None:
        if not failed:
            self._become(BreakerState.CLOSED)
        elif not tenant_id or self._suspect not in {"", tenant_id}:
            self._become(BreakerState.OPEN, now)
        else:
            self._suspect, self._suspect_until = tenant_id, now + self.policy.open_seconds

    def _too_many(self) -> bool:
        """Tell whether too many calls failed: of all, and of those that bear witness against the service."""
        failures = Counter(tenant for failed, tenant, _ in self._latest if failed)
        enough = self.policy.share * self.policy.window
        if len(self._latest) < self.policy.window or failures.total() < enough:
            return False
        worst = max((tenant for tenant in failures if tenant), key=failures.__getitem__, default=None)
        if worst is None:
            return True
        witnesses = self._witnesses(worst)
        return sum(witnesses) >= max(WITNESSES, enough / 2, self.policy.share * len(witnesses))

    def _witnesses(self, worst: str) -> list[bool]:
        """Return which calls of other tenants failed; without any, which of those that ran no callee's code."""
        others = [failed for failed, tenant, _ in self._latest if tenant != worst]
        return others or [failed for failed, _, runs_callee in self._latest if not runs_callee]

    def _become(self, state: BreakerState, now: float = 0.0) -> None:
        self.state = state
        self._era += 1
        self._permit = Permit(self._era)
        self._probing = False
        self._suspect = ""
        self._latest.clear()
        if state is BreakerState.OPEN:
            self._reopens_at = now + self.policy.open_seconds
