"""Calls of downstream services, each under its deadline, its retry policy and the guard of its service."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from random import SystemRandom
from types import TracebackType
from typing import Final, TypeVar

import structlog
import trio

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
from orchestrator.telemetry.tracing.calls import note_refusal, note_retry

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
                    return await operation(call.for_try(attempt.deadline, attempt.heard))
            except OrchestratorError as error:
                if not entered:
                    note_refusal(step.service, step.operation, error.code)
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
                note_retry(step.service, step.operation, error.code, delay)
            self._metrics.retry(step.service)
            await trio.sleep(delay)

    def attempt(self, step: ServiceCall, call: CallContext) -> "CountedAttempt":
        """Make the block one try of a call, admitted by the guard of the service, and counted.

        A cancelled try counts as one that did not fail. Streams give `attempt.heard` to the context of their call.

        Raises:
            CircuitOpen, CallTimeout, ServiceFault: the guard rejects the call.
        """
        deadline = call.deadline
        if step.timeout_ms is not None:
            deadline = min(deadline, trio.current_time() + step.timeout_ms / 1000)
        return CountedAttempt(self, self.guard(step.service), step, call, deadline)

    def opened(self, attempt: Attempt, step: ServiceCall, call: CallContext) -> None:
        """Note that a try has begun, for `attempt`."""
        self._open[id(attempt)] = (attempt.began, step, call)

    def closed(self, attempt: Attempt, step: ServiceCall, call: CallContext) -> None:
        """Count a try that has ended."""
        del self._open[id(attempt)]
        failure = attempt.failure.code if attempt.failure is not None else None
        took = trio.current_time() - attempt.began
        self._metrics.call(call.tenant_id, step.service, step.operation, took, failure)

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

    def missed(self, service: str, count: int, callee: str) -> None:
        """Count and log messages of an answer that did not come, by the numbers of those that did."""
        if count:
            self._metrics.messages_missing(service, count)
            _log.warning("answer.gap", downstream=service, callee=callee, missing=count)

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


class CountedAttempt:
    """The block of one try: admitted by a guard, shown while it is open, and counted.

    A class, since a generator for each call costs more than the guard does.

    Args:
        coordinator: counts it.
        guard: of the service.
        step: the operation.
        call: tenant and callee.
        deadline: of the try, on trio's clock.
    """

    __slots__ = ("_attempt", "_call", "_coordinator", "_deadline", "_guard", "_step")

    def __init__(
        self,
        coordinator: ServiceCoordinator,
        guard: ServiceGuard,
        step: ServiceCall,
        call: CallContext,
        deadline: float,
    ) -> None:
        self._coordinator = coordinator
        self._guard = guard
        self._step = step
        self._call = call
        self._deadline = deadline
        self._attempt: Attempt

    async def __aenter__(self) -> Attempt:
        call = self._call
        attempt = await self._guard.begin(self._step, self._deadline, (call.tenant_id, call.callee))
        self._coordinator.opened(attempt, self._step, call)
        self._attempt = attempt
        return attempt

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        attempt = self._attempt
        if isinstance(error, OrchestratorError):
            attempt.failure = error
        try:
            self._coordinator.closed(attempt, self._step, self._call)
        finally:
            self._guard.end(self._step, attempt, error)
