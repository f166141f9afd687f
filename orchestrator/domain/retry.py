"""Whether and when a failed call is tried again. The rules are those of `docs/reference/errors.md`."""

from typing import Final

from attrs import define, field

from orchestrator.errors import OrchestratorError
from orchestrator.models.orchestration import RetryPolicy

LEAST_SECONDS: Final = 0.01
"""A try that has less time than this can't finish: it is not started."""


def backoff_seconds(policy: RetryPolicy, failed: int) -> float:
    """Return the delay before the next try, without jitter.

    Args:
        policy: how the call is retried.
        failed: tries so far, at least 1.
    """
    return (policy.first_ms * policy.factor ** (failed - 1) + policy.step_ms * (failed - 1)) / 1000


def retry_delay(
    policy: RetryPolicy, failed: int, error: OrchestratorError, *, remaining: float, chance: float
) -> float | None:
    """Return how many seconds to wait before the next try; None where there shall be none.

    A service's `Retry-After` is waited out, even where that is longer than the policy's own delay.

    Args:
        policy: how the call is retried.
        failed: tries so far, at least 1.
        error: how the last one ended.
        remaining: seconds until the deadline.
        chance: a random number from -1 to 1, for the jitter.
    """
    if not error.retryable or failed >= policy.attempts:
        return None
    delay = backoff_seconds(policy, failed) * (1 + policy.jitter * chance)
    if error.retry_after_ms is not None:
        delay = max(delay, error.retry_after_ms / 1000)
    return delay if delay + LEAST_SECONDS <= remaining else None


@define
class RetryBudget:
    """Keeps the retries of one service under a share of its calls, so that they never become the overload.

    Each call earns `share` of a retry; a few are there from the start, or a quiet service could never be retried.
    """

    share: float = 0.2
    reserve: float = 10.0
    _saved: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._saved = self.reserve

    def earn(self) -> None:
        """Count a call."""
        self._saved = min(self.reserve, self._saved + self.share)

    def spend(self) -> bool:
        """Take a retry; False where the budget is used up."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
