"""Runs calls of downstream services: each under its deadline, its retry policy and its service's guard."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import TypeVar

import structlog
import trio
from attrs import evolve

from orchestrator.clients.registry import settings_of
from orchestrator.config.settings import ServiceSettings
from orchestrator.domain.downstream.breaker import FAIR_SECONDS
from orchestrator.domain.downstream.retry import RetryBudget, retry_delay
from orchestrator.errors import OrchestratorError
from orchestrator.models.common.call import CallContext
from orchestrator.models.operations.breakers import BreakerState, Criticality
from orchestrator.models.plans.orchestration import ServiceCall
from orchestrator.services.downstream.service_guard import Attempt, ServiceGuard
from orchestrator.telemetry.metrics import Metrics

T = TypeVar("T")

_log = structlog.get_logger("orchestrator.services.downstream.service_coordinator")


class ServiceCoordinator:
    """Knows how every service is doing, and decides how each call of it is run.

    Args:
        metrics: where calls are counted; None: nowhere.
        settings: by service: how much depends on it, and how many calls it gets at once.
        notify: told when a breaker opens, closes or begins to probe: the service, the state, and seconds until it is
            probed.
    """

    def __init__(
        self,
        metrics: Metrics | None = None,
        settings: Mapping[str, ServiceSettings] | None = None,
        notify: Callable[[str, BreakerState, float], None] | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._settings = settings or {}
        self._notify = notify
        self._budgets: defaultdict[str, RetryBudget] = defaultdict(RetryBudget)
        self._guards: dict[str, ServiceGuard] = {}
        self._random = SystemRandom()

    async def run(self, step: ServiceCall, call: CallContext, operation: Callable[[CallContext], Awaitable[T]]) -> T:
        """Run one call, again where that may help, and return its result.

        A service that is left alone, or has no room, is not waited for by trying again: a task that can wait does so in
        the queue, where it holds no slot.

        Args:
            step: what is called, and how it is retried.
            call: on whose behalf, and until when: no try starts that can't finish by then.
            operation: makes one try, under the deadline of the context that it is given.

        Raises:
            CircuitOpen: the service is left alone, because it failed too often.
            OrchestratorError: of the last try.
        """
        budget = self._budgets[step.service]
        budget.earn()
        failed = 0
        while True:
            entered = False
            try:
                async with self.attempt(step, call) as attempt:
                    entered = True
                    return await operation(evolve(call.until(attempt.deadline), heard=attempt.heard))
            except OrchestratorError as error:
                if not entered:
                    raise
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

    @asynccontextmanager
    async def attempt(self, step: ServiceCall, call: CallContext) -> AsyncIterator[Attempt]:
        """Make the block one try of a call: it enters when the service's guard lets it, and is counted.

        A try that is cancelled counts as one that did not fail. Streams give `attempt.heard` to their call's context.

        Raises:
            CircuitOpen, CallTimeout, ServiceFault: it does not enter.
        """
        deadline = call.deadline
        if step.timeout_ms is not None:
            deadline = min(deadline, trio.current_time() + step.timeout_ms / 1000)
        async with self.guard(step.service).attempt(step, deadline) as attempt:
            began = trio.current_time()
            try:
                yield attempt
            except OrchestratorError as error:
                attempt.failure = error.code
                raise
            finally:
                self._metrics.call(step.service, step.operation, trio.current_time() - began, attempt.failure)

    def guard(self, service: str) -> ServiceGuard:
        """Return what stands before a service."""
        guard = self._guards.get(service)
        if guard is None:
            settings = settings_of(service, self._settings)
            guard = self._guards[service] = ServiceGuard(
                service,
                Criticality(settings.criticality),
                settings.max_concurrency,
                min(FAIR_SECONDS, settings.timeout * 0.9),
                self._changed,
                self._metrics.call_refused,
            )
            self._metrics.watch_bulkhead(service, lambda: guard.bulkhead.in_flight, lambda: guard.bulkhead.limit)
            self._metrics.breaker(service, guard.breaker.state)
        return guard

    def breakers(self) -> dict[str, BreakerState]:
        """Return the states of those breakers that are not closed, by service."""
        return {
            name: guard.breaker.state
            for name, guard in self._guards.items()
            if guard.breaker.state is not BreakerState.CLOSED
        }

    def _changed(self, guard: ServiceGuard) -> None:
        state, seconds = guard.breaker.state, guard.breaker.seconds_left(trio.current_time())
        self._metrics.breaker(guard.service, state)
        _log.warning(f"breaker.{state}", downstream=guard.service, seconds=round(seconds, 3))
        if self._notify is not None:
            self._notify(guard.service, state, seconds)
