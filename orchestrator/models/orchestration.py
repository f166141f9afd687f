"""How the calls of an orchestration are described: which service, which operation, how it is retried."""

from math import inf
from typing import Final

from attrs import frozen


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


@frozen
class ServiceCall:
    """One call of an orchestration."""

    service: str
    """As in the settings: `conversation`, `agent_execution`."""
    operation: str
    retry_policy: RetryPolicy = MEDIUM
    timeout_ms: int | None = None
    """The most that one try may take; None: what the service's settings say."""
