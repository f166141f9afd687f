"""The guard of one service: its breaker, its bulkhead, and its recent latencies."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import define, field

from orchestrator.clients.transport.answers import title
from orchestrator.domain.downstream.breaker import FAIR_SECONDS, POLICIES, Breaker, Permit, speaks_of_failure
from orchestrator.domain.downstream.bulkhead import Bulkhead, BulkheadVerdict
from orchestrator.domain.downstream.latency import RecentLatency
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    CircuitOpen,
    OrchestratorError,
    ServiceFault,
    ServiceUnreachable,
)
from orchestrator.models.operations.breakers import BreakerState, Criticality
from orchestrator.models.plans.orchestration import ServiceCall

PROBE_SECONDS = 2.0
"""Wait of other calls for the outcome of a probe; also `Retry-After` where it has none by then."""
FULL_SECONDS = 1.0
"""`Retry-After` where too many calls wait for the bulkhead."""
_FAILURES = frozenset({BadGateway.code, CallTimeout.code, ServiceUnreachable.code})


@define(eq=False)
class Attempt:
    """One try of a call, in progress."""

    deadline: float
    """On trio's clock."""
    began: float
    _answered: Callable[[], None]
    failure: str | None = None
    """Code of its error; set by the caller where the error does not leave the block."""
    heard_at: float | None = None

    def heard(self) -> None:
        """Note that a streamed answer has begun."""
        self.heard_at = trio.current_time()
        self._answered()


def _nothing() -> None:
    """Do nothing."""


@define(eq=False)
class _Waiter:
    """A call that waits for the bulkhead."""

    turn: trio.Event = field(factory=trio.Event)
    inside: bool = False


@define(eq=False)
class ServiceGuard:
    """Admits calls to one service, and learns from their outcomes.

    Args:
        service: name of the service in the settings.
        criticality: chooses the policy of the breaker.
        max_concurrency: upper bound of the bulkhead's limit.
        fair_seconds: a timeout sooner than this is not counted as a failure of the service.
        changed: called when the state of the breaker has changed.
        refused: called with the reason why a call was rejected: `breaker`, `bulkhead` or `deadline`.
    """

    service: str
    criticality: Criticality
    max_concurrency: int
    fair_seconds: float = FAIR_SECONDS
    changed: Callable[["ServiceGuard"], None] = lambda _: None
    refused: Callable[[str, str], None] = lambda _, __: None
    breaker: Breaker = field(init=False)
    bulkhead: Bulkhead = field(init=False)
    _latencies: defaultdict[str, RecentLatency] = field(factory=lambda: defaultdict(RecentLatency), init=False)
    _waiters: deque[_Waiter] = field(factory=deque, init=False)
    _probed: trio.Event = field(factory=trio.Event, init=False)
    """Set when the running probe has ended, and then replaced."""
    _name: str = field(init=False)

    @_name.default
    def _titled(self) -> str:
        return title(self.service)

    @breaker.default
    def _breaker(self) -> Breaker:
        return Breaker(POLICIES[self.criticality])

    @bulkhead.default
    def _bulkhead(self) -> Bulkhead:
        return Bulkhead(self.max_concurrency)

    @asynccontextmanager
    async def attempt(self, step: ServiceCall, deadline: float) -> AsyncIterator[Attempt]:
        """Make the block one try of a call, as soon as the bulkhead has room.

        Args:
            step: the operation.
            deadline: of the wait and the try together, on trio's clock.

        Raises:
            CircuitOpen: the breaker is open.
            CallTimeout: the call can't finish in time.
            ServiceFault: too many calls wait already.
        """
        permit = await self._enter(step, deadline)
        # A probe has succeeded when its stream begins: other calls need not wait for the end of the stream.
        answered = partial(self._report, permit, False) if permit.probe else _nothing
        attempt = Attempt(deadline, trio.current_time(), answered)
        failed: bool | None = None
        try:
            yield attempt
            failed = attempt.failure in _FAILURES
        except OrchestratorError as error:
            attempt.failure = error.code
            failed = speaks_of_failure(error, trio.current_time() - attempt.began, self.fair_seconds)
            raise
        finally:
            self._learn(step, permit, attempt, failed)

    async def _enter(self, step: ServiceCall, deadline: float) -> Permit:
        now = trio.current_time()
        if not self._latencies[step.operation].can_finish(deadline - now, now):
            raise self._rejection("deadline", CallTimeout(f"{self._name} can't answer in the time that is left."))
        permit = await self._ask(deadline)
        if permit.probe:
            self.bulkhead.let_in()
        else:
            await self._find_room(step, deadline)
            if self.breaker.state is not BreakerState.CLOSED:
                self._make_room()
                raise self._circuit_open()
        return permit

    async def _ask(self, deadline: float) -> Permit:
        """Ask the breaker; while another call probes the service, wait for its outcome."""
        patience = min(deadline, trio.current_time() + PROBE_SECONDS)
        while True:
            before = self.breaker.state
            permit = self.breaker.ask(trio.current_time())
            if self.breaker.state is not before:
                self.changed(self)
            if permit is not None:
                return permit
            if self.breaker.state is BreakerState.OPEN or trio.current_time() >= patience:
                raise self._circuit_open()
            with trio.move_on_at(patience):
                await self._probed.wait()

    async def _find_room(self, step: ServiceCall, deadline: float) -> None:
        now = trio.current_time()
        admission = self.bulkhead.admit(deadline - now, self._latencies[step.operation].typical(now))
        if admission is BulkheadVerdict.FULL:
            wait = round(FULL_SECONDS * 1000)
            raise self._rejection(
                "bulkhead", ServiceFault(f"Too many calls wait for {self._name}.", retry_after_ms=wait)
            )
        if admission is BulkheadVerdict.LATE:
            raise self._rejection("bulkhead", CallTimeout(f"Too many calls wait for {self._name} to be done in time."))
        if admission is BulkheadVerdict.WAIT:
            await self._wait_for_room(deadline)

    async def _wait_for_room(self, deadline: float) -> None:
        waiter = _Waiter()
        self._waiters.append(waiter)
        try:
            with trio.move_on_at(deadline):
                await waiter.turn.wait()
        except trio.Cancelled:
            if waiter.inside:
                self._make_room()
            raise
        finally:
            if not waiter.inside and waiter in self._waiters:
                self._waiters.remove(waiter)
                self.bulkhead.give_up()
        if not waiter.inside:
            if waiter.turn.is_set():
                raise self._circuit_open()
            raise self._rejection("bulkhead", CallTimeout(f"{self._name} had no room for the call in time."))

    def _make_room(self) -> None:
        self.bulkhead.leave()
        while self._waiters and self.bulkhead.promote():
            waiter = self._waiters.popleft()
            waiter.inside = True
            waiter.turn.set()

    def _learn(self, step: ServiceCall, permit: Permit, attempt: Attempt, failed: bool | None) -> None:
        now = trio.current_time()
        if failed and attempt.failure == CallTimeout.code:
            self.bulkhead.ran_out_of_time(attempt.began, now)
        elif failed is False:
            self.bulkhead.went_well()
            if attempt.failure is None:
                # The latency of a stream is the time until it begins: its duration depends on its length.
                answered = now if attempt.heard_at is None else attempt.heard_at
                self._latencies[step.operation].add(answered - attempt.began, now)
        self._make_room()
        self._report(permit, failed)

    def _report(self, permit: Permit, failed: bool | None) -> None:
        before = self.breaker.state
        self.breaker.report(permit, failed, trio.current_time())
        if permit.probe:
            self._probed.set()
            self._probed = trio.Event()
        if self.breaker.state is not before:
            self.changed(self)
            if self.breaker.state is BreakerState.OPEN:
                self._reject_waiters()

    def _reject_waiters(self) -> None:
        """Reject all waiting calls: the breaker has opened."""
        while self._waiters:
            self.bulkhead.give_up()
            self._waiters.popleft().turn.set()

    def _circuit_open(self) -> CircuitOpen:
        seconds = self.breaker.seconds_left(trio.current_time()) or PROBE_SECONDS
        error = CircuitOpen(
            f"The circuit breaker of {self._name} is open: too many calls failed.",
            retry_after_ms=max(1, round(seconds * 1000)),
        )
        self._rejection("breaker", error)
        return error

    def _rejection(self, reason: str, error: ServiceFault) -> ServiceFault:
        self.refused(self.service, reason)
        error.service = self.service
        return error
