"""How the calls of an orchestration are described: which service, which operation, how it is retried."""

from enum import StrEnum
from math import inf
from typing import Any, Final

from attrs import field, frozen


@frozen
class RetryPolicy:
    """When a failed call is tried again: after `first_ms`, then after `factor` times as long and `step_ms` more."""

    attempts: int
    """Tries in all, the first one among them."""
    first_ms: float
    factor: float = 1.0
    step_ms: float = 0.0
    cap_ms: float = inf
    """No delay is longer, but for its jitter."""
    jitter: float = 0.0
    """The share by which a delay is made longer or shorter at random, 0 to 1."""


HIGH: Final = RetryPolicy(attempts=5, first_ms=200, factor=1.5, jitter=0.10)
"""For calls that a turn can't do without."""
MEDIUM: Final = RetryPolicy(attempts=3, first_ms=1000, factor=2.0, jitter=0.15)
LOW: Final = RetryPolicy(attempts=2, first_ms=2000, step_ms=2000, jitter=0.05)
ONCE: Final = RetryPolicy(attempts=1, first_ms=0)
"""For calls that are easier done without than waited for."""


RETRY_POLICIES: Final = {"high": HIGH, "medium": MEDIUM, "low": LOW, "once": ONCE}
"""By the names that plans give them."""


class Strategy(StrEnum):
    """In which order the calls of a plan run."""

    SEQUENTIAL = "sequential"
    """One after the other, as they are written."""
    PARALLEL = "parallel"
    """All at once."""
    GRAPH = "graph"
    """Each as soon as what it depends on is done."""


class OnFailure(StrEnum):
    """What becomes of a plan when a call that is not optional has failed."""

    FAIL = "fail"
    """It fails; what is done stays done."""
    COMPENSATE = "compensate"
    """It fails, and what is done is undone, the last first."""
    PARTIAL = "partial"
    """What does not depend on the failed call goes on; the result tells what failed."""


@frozen
class ServiceCall:
    """One call of an orchestration."""

    service: str
    """As in the settings: `conversation`, `agent_execution`."""
    operation: str
    retry_policy: RetryPolicy = MEDIUM
    timeout_ms: int | None = None
    """The most that one try may take; None: what the service's settings say."""
    parameters: dict[str, Any] = field(factory=dict)
    """Path parameters and payload fields together; strings that begin with `$.` refer to the input and to results."""
    depends_on: tuple[str, ...] = ()
    when: dict[str, Any] | None = None
    """A comparison tree (`domain.conditions`); where it is false, the call is left out."""
    compensate: "ServiceCall | None" = None
    """What undoes it."""
    optional: bool = False
    """Whether the plan goes on where it fails."""
    idempotent: bool | None = None
    """Whether it may be repeated after an answer that was lost; None: as the operation is."""


@frozen
class OrchestrationPlan:
    """Calls of services that together do one task."""

    plan_id: str
    tenant_id: str
    calls: dict[str, ServiceCall]
    strategy: Strategy = Strategy.GRAPH
    deadline_ms: int = 120_000
    on_failure: OnFailure = OnFailure.FAIL
    session_id: str | None = None
    version: int = 1
