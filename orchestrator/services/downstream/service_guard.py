"""What stands between callers and one service: its breaker, its bulkhead, and what is known of its pace."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import define, field

from orchestrator.clients.transport.answers import title
from orchestrator.domain.downstream.breaker import FAIR_SECONDS, POLICIES, Breaker, Pass, speaks_of_failure
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
"""How long others wait for the outcome of a probe; and when to ask again, where it has none by then."""
FULL_SECONDS = 1.0
"""When to ask again where the line is full."""
_FAILURES = frozenset({BadGateway.code, CallTimeout.code, ServiceUnreachable.code})


@define(eq=False)
class Attempt:
    """A try of a call, while it is made."""

    deadline: float
    """Until when it has time, on trio's clock."""
    began: float
    _answered: Callable[[], None]
    failure: str | None = None
    """The code of its error; to be set where the error does not come out of the block."""
    heard_at: float | None = None

    def heard(self) -> None:
        """Say that the service has begun to answer, where the answer is streamed."""
        self.heard_at = trio.current_time()
        self._answered()


def _nothing() -> None:
    """There is nothing to be done."""


@define(eq=False)
class _Place:
    """A place in the line before the bulkhead."""

    turn: trio.Event = field(factory=trio.Event)
    inside: bool = False


@define(eq=False)
class ServiceGuard:
    """Decides whether a call of one service is made, and learns from how it ends.

    Args:
        service: its name in the settings.
        criticality: how soon it is left alone.
        max_concurrency: calls at once, at most.
        fair_seconds: a call that had less time says nothing by not ending in it.
        changed: told of the breaker's new state.
        refused: told why a call was not made: `breaker`, `bulkhead` or `deadline`.
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
    _line: deque[_Place] = field(factory=deque, init=False)
    _probed: trio.Event = field(factory=trio.Event, init=False)
    """Set when the probe that is under way has ended; then there is another one."""
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
        """Make the block one try of a call, as soon as there is room for it.

        Args:
            step: what is called.
            deadline: of the waiting and the try together, on trio's clock.

        Raises:
            CircuitOpen: the service is left alone.
            CallTimeout: the call can't be done in time.
            ServiceFault: more wait already than may.
        """
        leave = await self._enter(step, deadline)
        # A probe has found out enough when its stream begins: others need not wait until all of it is through.
        answered = partial(self._report, leave, False) if leave.probe else _nothing
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
            self._learn(step, leave, attempt, failed)

    async def _enter(self, step: ServiceCall, deadline: float) -> Pass:
        now = trio.current_time()
        if not self._latencies[step.operation].can_finish(deadline - now, now):
            raise self._refusal("deadline", CallTimeout(f"{self._name} can't answer in the time that is left."))
        leave = await self._ask(deadline)
        if leave.probe:
            self.bulkhead.let_in()
        else:
            await self._find_room(step, deadline)
            if self.breaker.state is not BreakerState.CLOSED:
                self._make_room()
                raise self._left_alone()
        return leave

    async def _ask(self, deadline: float) -> Pass:
        """Ask the breaker; while a call of somebody else probes the service, its outcome is waited for."""
        patience = min(deadline, trio.current_time() + PROBE_SECONDS)
        while True:
            before = self.breaker.state
            leave = self.breaker.ask(trio.current_time())
            if self.breaker.state is not before:
                self.changed(self)
            if leave is not None:
                return leave
            if self.breaker.state is BreakerState.OPEN or trio.current_time() >= patience:
                raise self._left_alone()
            with trio.move_on_at(patience):
                await self._probed.wait()

    async def _find_room(self, step: ServiceCall, deadline: float) -> None:
        now = trio.current_time()
        admission = self.bulkhead.admit(deadline - now, self._latencies[step.operation].typical(now))
        if admission is BulkheadVerdict.FULL:
            wait = round(FULL_SECONDS * 1000)
            raise self._refusal("bulkhead", ServiceFault(f"Too many calls wait for {self._name}.", retry_after_ms=wait))
        if admission is BulkheadVerdict.LATE:
            raise self._refusal("bulkhead", CallTimeout(f"Too many calls wait for {self._name} to be done in time."))
        if admission is BulkheadVerdict.WAIT:
            await self._wait_in_line(deadline)

    async def _wait_in_line(self, deadline: float) -> None:
        place = _Place()
        self._line.append(place)
        try:
            with trio.move_on_at(deadline):
                await place.turn.wait()
        except trio.Cancelled:
            if place.inside:
                self._make_room()
            raise
        finally:
            if not place.inside and place in self._line:
                self._line.remove(place)
                self.bulkhead.give_up()
        if not place.inside:
            if place.turn.is_set():
                raise self._left_alone()
            raise self._refusal("bulkhead", CallTimeout(f"{self._name} had no room for the call in time."))

    def _make_room(self) -> None:
        self.bulkhead.leave()
        while self._line and self.bulkhead.promote():
            place = self._line.popleft()
            place.inside = True
            place.turn.set()

    def _learn(self, step: ServiceCall, leave: Pass, attempt: Attempt, failed: bool | None) -> None:
        now = trio.current_time()
        if failed and attempt.failure == CallTimeout.code:
            self.bulkhead.ran_out_of_time(attempt.began, now)
        elif failed is False:
            self.bulkhead.went_well()
            if attempt.failure is None:
                # How long a stream lasts is a matter of its length; how soon it begins tells of the service.
                answered = now if attempt.heard_at is None else attempt.heard_at
                self._latencies[step.operation].add(answered - attempt.began, now)
        self._make_room()
        self._report(leave, failed)

    def _report(self, leave: Pass, failed: bool | None) -> None:
        before = self.breaker.state
        self.breaker.report(leave, failed, trio.current_time())
        if leave.probe:
            self._probed.set()
            self._probed = trio.Event()
        if self.breaker.state is not before:
            self.changed(self)
            if self.breaker.state is BreakerState.OPEN:
                self._dissolve_line()

    def _dissolve_line(self) -> None:
        """Tell all who wait that the service is left alone."""
        while self._line:
            self.bulkhead.give_up()
            self._line.popleft().turn.set()

    def _left_alone(self) -> CircuitOpen:
        seconds = self.breaker.seconds_left(trio.current_time()) or PROBE_SECONDS
        error = CircuitOpen(
            f"{self._name} fails too often, and is left alone for a while.",
            retry_after_ms=max(1, round(seconds * 1000)),
        )
        self._refusal("breaker", error)
        return error

    def _refusal(self, reason: str, error: ServiceFault) -> ServiceFault:
        self.refused(self.service, reason)
        error.service = self.service
        return error
