"""The circuit breaker: leaves a service alone that fails too often, and finds out when it is well again.

    closed ── too many failed ──▶ open ── its time is over ──▶ half-open ── a probe went well ──▶ closed
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
    """When a breaker opens, and for how long."""

    share: float
    """The share of failures, 0 to 1, at which it opens."""
    window: int
    """Of so many calls; before there were so many it stays closed."""
    open_seconds: float


POLICIES: Final[Mapping[Criticality, BreakerPolicy]] = {
    Criticality.CRITICAL: BreakerPolicy(0.3, 10, 15.0),
    Criticality.STANDARD: BreakerPolicy(0.5, 20, 30.0),
    Criticality.NON_CRITICAL: BreakerPolicy(0.7, 30, 60.0),
}
FAIR_SECONDS: Final = 1.0
"""A call that had less time says nothing of the service by not ending in it."""


@frozen
class Pass:
    """The leave to call once."""

    era: int
    """The state in which it was given; what is reported in a later one no longer counts."""
    probe: bool = False


@define
class Breaker:
    """Watches the calls of one service; moments are those of any clock, in seconds."""

    policy: BreakerPolicy
    state: BreakerState = field(default=BreakerState.CLOSED, init=False)
    _failures: deque[bool] = field(init=False)
    _era: int = field(default=0, init=False)
    _reopens_at: float = field(default=0.0, init=False)
    _probing: bool = field(default=False, init=False)

    @_failures.default
    def _no_failures(self) -> deque[bool]:
        return deque(maxlen=self.policy.window)

    def ask(self, now: float) -> Pass | None:
        """Ask for leave to call; None: not now."""
        if self.state is BreakerState.OPEN and now >= self._reopens_at:
            self._become(BreakerState.HALF_OPEN)
        if self.state is BreakerState.CLOSED:
            return Pass(self._era)
        if self.state is BreakerState.OPEN or self._probing:
            return None
        self._probing = True
        return Pass(self._era, probe=True)

    def seconds_left(self, now: float) -> float:
        """Return for how long the service is still left alone; 0 where it is called, or probed."""
        return max(0.0, self._reopens_at - now) if self.state is BreakerState.OPEN else 0.0

    def report(self, leave: Pass, failed: bool | None, now: float) -> None:
        """Take note of how a call ended; None where its end says nothing of the service."""
        if leave.era != self._era:
            return
        if leave.probe:
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
    """Say whether an error of a call means that its service is not well.

    Refusals (4xx) come from services that are well. A call that was given too little time says nothing, nor does one
    that failed for something on this side of the line (None).

    Args:
        error: how the call ended.
        seconds: how long it took.
        fair_seconds: the least time after which a missing answer counts.
    """
    if isinstance(error, CallTimeout):
        return True if seconds >= fair_seconds else None
    if isinstance(error, ServiceNotSetUp | StoreUnavailable):
        return None
    return isinstance(error, BadGateway | ServiceFailed | ServiceUnreachable)
