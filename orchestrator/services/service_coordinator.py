"""Runs calls of downstream services: each under its deadline and its retry policy."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import SystemRandom
from typing import TypeVar

import trio
from attrs import define

from orchestrator.domain.retry import RetryBudget, retry_delay
from orchestrator.errors import OrchestratorError
from orchestrator.models.call import CallContext
from orchestrator.models.orchestration import ServiceCall
from orchestrator.telemetry.metrics import Metrics

T = TypeVar("T")


@define
class Measured:
    """A try of a call, while it is measured."""

    failure: str | None = None
    """The code of an error that does not come out of the block."""


class ServiceCoordinator:
    """Knows how every service is doing, and decides how each call of it is run.

    Args:
        metrics: where calls are counted; None: nowhere.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
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
                with self.measured(step):
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
            self._metrics.retry(step.service)
            await trio.sleep(delay)

    @contextmanager
    def measured(self, step: ServiceCall) -> Iterator[Measured]:
        """Count the block as one try of a call; one that is cancelled counts as one that did not fail."""
        began, measured = trio.current_time(), Measured()
        try:
            yield measured
        except OrchestratorError as error:
            measured.failure = error.code
            raise
        finally:
            self._metrics.call(step.service, step.operation, trio.current_time() - began, measured.failure)


def _limited(step: ServiceCall, call: CallContext) -> CallContext:
    return call if step.timeout_ms is None else call.until(trio.current_time() + step.timeout_ms / 1000)
