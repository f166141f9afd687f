"""Runs calls of downstream services: each under its deadline and its retry policy."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from random import SystemRandom
from typing import TypeVar

import trio

from orchestrator.domain.retry import RetryBudget, retry_delay
from orchestrator.errors import OrchestratorError
from orchestrator.models.call import CallContext
from orchestrator.models.orchestration import ServiceCall

T = TypeVar("T")


class ServiceCoordinator:
    """Knows how every service is doing, and decides how each call of it is run."""

    def __init__(self) -> None:
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(RetryBudget)
        self._random = SystemRandom()

    async def run(self, step: ServiceCall, call: CallContext, operation: Callable[[CallContext], Awaitable[T]]) -> T:
        """Run one call, again where that may help, and return its result.

        Args:
            step: what is called, and how it is retried.
            call: on whose behalf, and until when: no try starts that can't finish by then.
            operation: makes one try, under the deadline of the context that it is given.

        Raises:
            OrchestratorError: of the last try.
        """
        budget = self._budgets[step.service]
        budget.earn()
        failed = 0
        while True:
            try:
                return await operation(_limited(step, call))
            except OrchestratorError as error:
                failed += 1
                delay = retry_delay(
                    step.retry_policy,
                    failed,
                    error,
                    remaining=call.deadline - trio.current_time(),
                    chance=self._random.uniform(-1, 1),
                )
                if delay is None or not budget.spend():
                    raise
            await trio.sleep(delay)


def _limited(step: ServiceCall, call: CallContext) -> CallContext:
    return call if step.timeout_ms is None else call.until(trio.current_time() + step.timeout_ms / 1000)
