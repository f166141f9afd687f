"""Whether and when a call or a whole task is tried again. The rules are those of `docs/reference/errors.md`."""

from typing import Final

from attrs import define, field

from orchestrator.errors import OrchestratorError
from orchestrator.models.plans.orchestration import RetryPolicy

LEAST_SECONDS: Final = 0.01
"""A try that has less time than this can't finish: it is not started."""
LONGEST_TASK_DELAY_MS: Final = 30_000.0


def backoff_seconds(policy: RetryPolicy, failed: int) -> float:
    """Return the delay before the next try, without jitter.

    Args:
        policy: how the call is retried.
        failed: tries so far, at least 1.
    """
    delay_ms = policy.first_ms * policy.factor ** (failed - 1) + policy.step_ms * (failed - 1)
    return min(policy.cap_ms, delay_ms) / 1000


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


def task_policy(retries: int, first_seconds: float) -> RetryPolicy:
    """Return how a task is retried whose calls have had their own retries: rarely, and each time twice as late.

    Args:
        retries: how often, at most.
        first_seconds: the delay of the first one.
    """
    return RetryPolicy(retries + 1, first_seconds * 1000, factor=2.0, jitter=0.15, cap_ms=LONGEST_TASK_DELAY_MS)


def task_retry_delay(
    policy: RetryPolicy, failed: int, error: OrchestratorError, *, remaining: float, chance: float
) -> float | None:
    """Return how many seconds to wait before a task starts over; None where it is given up, to the dead letters.

    Unlike a call, a task does not wait for a service that asks for more patience than the policy has: a user waits
    for its end, and is told sooner.

    Args:
        policy: how the task is retried.
        failed: how often it has failed so far, at least 1.
        error: how it failed.
        remaining: seconds that are left of its time.
        chance: a random number from -1 to 1, for the jitter.
    """
    if error.retry_after_ms is not None and error.retry_after_ms > policy.cap_ms:
        return None
    return retry_delay(policy, failed, error, remaining=remaining, chance=chance)


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
