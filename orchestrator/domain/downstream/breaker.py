"""The circuit breaker: stops calls to a service that fails too often, and probes until the service has recovered.

    closed ── too many failed ──▶ open ── its time is over ──▶ half-open ── a probe succeeded ──▶ closed
                                   ▲                              │
                                   └────── a probe failed ────────┘

It decides and counts; it has no clock, and does no I/O.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    OrchestratorError,
    ServiceFailed,
    ServiceNotSetUp,
    ServiceUnreachable,
    StoreUnavailable,
)
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
FAIR_SECONDS: Final = 1.0
"""A timeout sooner than this is not counted as a failure of the service."""


@frozen
class Permit:
    """Permission for one call."""

    era: int
    """Number of the state in which it was given; an outcome that is reported in a later one is ignored."""
    probe: bool = False


@define
class Breaker:
    """Breaker of one service; moments are those of any clock, in seconds."""

    policy: BreakerPolicy
    state: BreakerState = field(default=BreakerState.CLOSED, init=False)
    _failures: deque[bool] = field(init=False)
    _era: int = field(default=0, init=False)
    _reopens_at: float = field(default=0.0, init=False)
    _probing: bool = field(default=False, init=False)

    @_failures.default
    def _no_failures(self) -> deque[bool]:
        return deque(maxlen=self.policy.window)

    def ask(self, now: float) -> Permit | None:
        """Return a permit for one call; None: calls are rejected now."""
        if self.state is BreakerState.OPEN and now >= self._reopens_at:
            self._become(BreakerState.HALF_OPEN)
        if self.state is BreakerState.CLOSED:
            return Permit(self._era)
        if self.state is BreakerState.OPEN or self._probing:
            return None
        self._probing = True
        return Permit(self._era, probe=True)

    def seconds_left(self, now: float) -> float:
        """Return the time until a probe; 0 where the breaker is not open."""
        return max(0.0, self._reopens_at - now) if self.state is BreakerState.OPEN else 0.0

    def report(self, permit: Permit, failed: bool | None, now: float) -> None:
        """Record the outcome of a call; `failed` is None where it says nothing about the service."""
        if permit.era != self._era:
            return
        if permit.probe:
            self._probing = False
            if failed is not None:
                self._become(BreakerState.OPEN if failed else BreakerState.CLOSED, now)
        elif failed is not None:
            self._failures.append(failed)
            full = len(self._failures) == self.policy.window
            if failed and full and sum(self._failures) >= self.policy.share * self.policy.window:
                self._become(BreakerState.OPEN, now)

    def _become(self, state: BreakerState, now: float = 0.0) -> None:
        self.state = state
        self._era += 1
        self._probing = False
        self._failures.clear()
        if state is BreakerState.OPEN:
            self._reopens_at = now + self.policy.open_seconds


def speaks_of_failure(error: OrchestratorError, seconds: float, fair_seconds: float = FAIR_SECONDS) -> bool | None:
    """Tell whether an error of a call is a failure of its service.

    Refusals (4xx) come from services that work. None, where the error says nothing about the service: the call had too
    little time, or failed on this side.

    Args:
        error: of the call.
        seconds: duration of the call.
        fair_seconds: duration from which on a timeout is a failure.
    """
    if isinstance(error, CallTimeout):
        return True if seconds >= fair_seconds else None
    if isinstance(error, ServiceNotSetUp | StoreUnavailable):
        return None
    return isinstance(error, BadGateway | ServiceFailed | ServiceUnreachable)
