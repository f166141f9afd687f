"""Whether and when a call or a whole task is tried again. The rules are those of `docs/reference/errors.md`."""

from typing import Final

from attrs import define, field

from orchestrator.domain.downstream.callees import CALLEES, ByCallee, Callee
from orchestrator.errors import OrchestratorError, ReportedFailure
from orchestrator.models.plans.orchestration import RetryPolicy

LEAST_SECONDS: Final = 0.01
"""A try that has less time than this can't finish: it is not started."""
LONGEST_TASK_DELAY_MS: Final = 30_000.0
CALLEE_RESERVE: Final = 6.0
"""Retries that a callee has from the start."""
TENANT_RESERVE: Final = 10.0
"""Retries that all callees of a tenant have together from the start."""


def backoff_seconds(policy: RetryPolicy, failed: int) -> float:
    """Return the delay before the next try, without jitter.

    Args:
        policy: how the call is retried.
        failed: tries so far, at least 1.
    """
    try:
        delay_ms = policy.first_ms * float(policy.factor) ** (failed - 1) + policy.step_ms * (failed - 1)
    except OverflowError:
        return policy.cap_ms / 1000
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


def repeats_call(error: OrchestratorError) -> bool:
    """Tell whether a call is repeated after an error; a failure that an agent or tool reports is one of its own."""
    return error.retryable and not isinstance(error, ReportedFailure)


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
    """Keeps retries under a share of the calls, so that they never become the overload.

    Each call earns `share` of a retry; a few are there from the start, or what is seldom called could never be retried.
    """

    share: float = 0.2
    reserve: float = 20.0
    _saved: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._saved = self.reserve

    @property
    def left(self) -> bool:
        """Whether there is a retry to spend."""
        return self._saved >= 1

    def earn(self) -> None:
        """Count a call."""
        self._saved = min(self.reserve, self._saved + self.share)

    def spend(self) -> bool:
        """Take a retry; False where the budget is used up."""
        if not self.left:
            return False
        self._saved -= 1
        return True


@define
class RetryBudgets:
    """The retry budgets of one service: of each callee, of each tenant, and of the service.

    A retry is taken from all three. A callee that fails for ever has no more than its own reserve and a share of its
    own calls, and leaves the rest of the service's budget to others.

    Args:
        callees: number of callees that are remembered, and of tenants.
    """

    callees: int = CALLEES
    service: RetryBudget = field(factory=RetryBudget, init=False)
    _tenants: ByCallee[RetryBudget] = field(init=False)
    _own: ByCallee[RetryBudget] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tenants = ByCallee(lambda: RetryBudget(reserve=TENANT_RESERVE), self.callees)
        self._own = ByCallee(lambda: RetryBudget(reserve=CALLEE_RESERVE), self.callees)

    def earn(self, callee: Callee) -> None:
        """Count a call."""
        for budget in self._of(callee):
            budget.earn()

    def spend(self, callee: Callee) -> bool:
        """Take a retry; False where one of the budgets is used up."""
        budgets = self._of(callee)
        return all(budget.left for budget in budgets) and all(budget.spend() for budget in budgets)

    def _of(self, callee: Callee) -> tuple[RetryBudget, RetryBudget, RetryBudget]:
        return self._own.of(callee), self._tenants.of((callee[0], "")), self.service
