"""Calls of downstream services, each under its deadline, its retry policy and the guard of its service."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Final, TypeVar

import structlog
import trio
from attrs import evolve

from orchestrator.clients.registry import settings_of
from orchestrator.config.settings import ServiceSettings
from orchestrator.domain.downstream.breaker import Breaker
from orchestrator.domain.downstream.call_outcomes import FAIR_SECONDS
from orchestrator.domain.downstream.callees import Callee
from orchestrator.domain.downstream.retry import RetryBudgets, repeats_call, retry_delay
from orchestrator.domain.load import CALLEES_SHOWN
from orchestrator.errors import OrchestratorError
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.breakers import BreakerState, Criticality
from orchestrator.models.operations.load import CalleeBreaker, OpenCall
from orchestrator.models.plans.orchestration import ServiceCall
from orchestrator.services.downstream.service_guard import Attempt, ServiceGuard
from orchestrator.telemetry.metrics import Metrics

T = TypeVar("T")

_LONG_SECONDS: Final = 1.0
_OPEN_SHOWN: Final = 100
_log = structlog.get_logger("orchestrator.services.downstream.service_coordinator")


class ServiceCoordinator:
    """Runs calls of all services.

    Args:
        metrics: counts calls; None: they are not counted.
        settings: criticality, timeout and concurrency, by service; one that is missing has the defaults of its record.
        notify: called when a breaker opens, closes or begins to probe, with the service, the state, and the seconds
            until a probe.
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
        self._budgets: defaultdict[str, RetryBudgets] = defaultdict(RetryBudgets)
        self._guards: dict[str, ServiceGuard] = {}
        self._random = SystemRandom()
        self._open: dict[int, tuple[float, ServiceCall, CallContext]] = {}

    async def run(self, step: ServiceCall, call: CallContext, operation: Callable[[CallContext], Awaitable[T]]) -> T:
        """Run one call, with retries, and return its result.

        A call that the guard rejects (breaker open, bulkhead full) is not retried here: a task waits in the queue,
        where it holds no slot.

        Args:
            step: the operation, and its retry policy.
            call: tenant, callee, correlation and deadline; no try starts that can't finish by then.
            operation: makes one try, under the deadline of the context that it is given.

        Raises:
            CircuitOpen: the breaker of the service or of the callee is open.
            OrchestratorError: of the last try.
        """
        budgets, callee = self._budgets[step.service], (call.tenant_id, call.callee)
        budgets.earn(callee)
        failed = 0
        while True:
            entered = False
            try:
                async with self.attempt(step, call) as attempt:
                    entered = True
                    return await operation(evolve(call.until(attempt.deadline), heard=attempt.heard))
            except OrchestratorError as error:
                if not entered or not repeats_call(error):
                    raise
                failed += 1
                delay = retry_delay(
                    step.retry_policy,
                    failed,
                    error,
                    remaining=call.deadline - trio.current_time(),
                    chance=self._random.uniform(-1, 1),
                )
                if delay is None or not budgets.spend(callee):
                    raise
            self._metrics.retry(step.service)
            await trio.sleep(delay)

    @asynccontextmanager
    async def attempt(self, step: ServiceCall, call: CallContext) -> AsyncIterator[Attempt]:
        """Make the block one try of a call, admitted by the guard of the service, and counted.

        A cancelled try counts as one that did not fail. Streams give `attempt.heard` to the context of their call.

        Raises:
            CircuitOpen, CallTimeout, ServiceFault: the guard rejects the call.
        """
        deadline = call.deadline
        if step.timeout_ms is not None:
            deadline = min(deadline, trio.current_time() + step.timeout_ms / 1000)
        async with self.guard(step.service).attempt(step, deadline, (call.tenant_id, call.callee)) as attempt:
            began = trio.current_time()
            self._open[id(attempt)] = (began, step, call)
            try:
                yield attempt
            except OrchestratorError as error:
                attempt.failure = error
                raise
            finally:
                del self._open[id(attempt)]
                failure = attempt.failure.code if attempt.failure is not None else None
                self._metrics.call(step.service, step.operation, trio.current_time() - began, failure)

    def guard(self, service: str) -> ServiceGuard:
        """Return the guard of a service."""
        guard = self._guards.get(service)
        if guard is None:
            settings = settings_of(service, self._settings)
            guard = self._guards[service] = ServiceGuard(
                service,
                Criticality(settings.criticality),
                settings.max_concurrency,
                min(FAIR_SECONDS, settings.timeout * 0.9),
                self._changed,
                self._callee_changed,
                self._metrics.call_refused,
            )
            self._metrics.watch_callees(service, lambda: len(guard.callees()))
            self._metrics.watch_bulkhead(service, lambda: guard.bulkhead.in_flight, lambda: guard.bulkhead.limit)
            self._metrics.breaker(service, guard.breaker.state)
        return guard

    def passed_over(self, service: str, kinds: Mapping[str, int], callee: str) -> None:
        """Count and log messages of unknown kinds in an answer, by kind."""
        if kinds:
            self._metrics.messages_passed_over(service, sum(kinds.values()))
            _log.info("answer.passed_over", downstream=service, callee=callee, kinds=dict(kinds))

    def open_calls(self) -> list[OpenCall]:
        """Return the calls that have been open for long, the oldest first."""
        now = trio.current_time()
        found = sorted(
            (each for each in self._open.values() if now - each[0] >= _LONG_SECONDS), key=lambda each: each[0]
        )
        return [
            OpenCall(
                tenant_id=call.tenant_id,
                correlation_id=call.correlation_id,
                call=f"{step.service}.{step.operation}",
                since=to_timestamp(now_ms() - round((now - began) * 1000)),
                callee=call.callee,
            )
            for began, step, call in found[:_OPEN_SHOWN]
        ]

    def breakers(self) -> dict[str, BreakerState]:
        """Return the states of the breakers that are not closed, by service."""
        return {
            name: guard.breaker.state
            for name, guard in self._guards.items()
            if guard.breaker.state is not BreakerState.CLOSED
        }

    def callee_breakers(self) -> list[CalleeBreaker]:
        """Return the breakers of agents, tools, workflows and tenants that are not closed; of many the last ones."""
        found = [
            CalleeBreaker(name, *callee, state)
            for name, guard in self._guards.items()
            for callee, state in guard.callees()
        ]
        return found[-CALLEES_SHOWN:]

    def _changed(self, guard: ServiceGuard) -> None:
        state = guard.breaker.state
        # It has changed just now: its whole time is left, whatever has passed since on the clock.
        seconds = guard.breaker.policy.open_seconds if state is BreakerState.OPEN else 0.0
        self._metrics.breaker(guard.service, state)
        _log.warning(f"breaker.{state}", downstream=guard.service, seconds=seconds)
        if self._notify is not None:
            self._notify(guard.service, state, seconds)

    def _callee_changed(self, guard: ServiceGuard, callee: Callee, breaker: Breaker) -> None:
        seconds = breaker.policy.open_seconds if breaker.state is BreakerState.OPEN else 0.0
        self._metrics.callee_breaker(guard.service, breaker.state)
        _log.warning(
            f"callee_breaker.{breaker.state}",
            downstream=guard.service,
            tenant_id=callee[0],
            callee=callee[1],
            seconds=seconds,
        )
