"""The guard of one service: its breakers, its bulkhead, and its recent latencies."""

from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial

import trio
from attrs import define, field

from orchestrator.clients.transport.answers import title
from orchestrator.domain.downstream.breaker import POLICIES, Breaker
from orchestrator.domain.downstream.bulkhead import Bulkhead, BulkheadVerdict
from orchestrator.domain.downstream.call_outcomes import FAIR_SECONDS, CallOutcome, outcome_of
from orchestrator.domain.downstream.callees import CALLEES, Callee
from orchestrator.domain.downstream.latency import RecentLatency
from orchestrator.domain.downstream.layered_breakers import LayeredBreakers, Permits
from orchestrator.errors import CallTimeout, CircuitOpen, OrchestratorError, ServiceFault
from orchestrator.models.operations.breakers import BreakerState, Criticality
from orchestrator.models.plans.orchestration import ServiceCall

PROBE_SECONDS = 2.0
"""Wait of other calls for the outcome of a probe; also `Retry-After` where it has none by then."""
FULL_SECONDS = 1.0
"""`Retry-After` where too many calls wait for the bulkhead."""


@define(eq=False)
class Attempt:
    """One try of a call, in progress."""

    permits: Permits
    deadline: float
    """On trio's clock."""
    began: float
    _answered: Callable[[], None]
    failure: OrchestratorError | None = None
    """Its error; set by the caller where the error does not leave the block."""
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
        criticality: chooses the policy of the breakers.
        max_concurrency: upper bound of the bulkhead's limit.
        fair_seconds: a timeout sooner than this is not counted as a failure of the service.
        changed: called when the state of the service's breaker has changed.
        callee_changed: called when the state of a callee's breaker has changed.
        refused: called with the reason why a call was rejected: `breaker`, `callee`, `bulkhead` or `deadline`.
    """

    service: str
    criticality: Criticality
    max_concurrency: int
    fair_seconds: float = FAIR_SECONDS
    changed: Callable[["ServiceGuard"], None] = lambda _: None
    callee_changed: Callable[["ServiceGuard", Callee, Breaker], None] = lambda *_: None
    refused: Callable[[str, str], None] = lambda _, __: None
    breakers: LayeredBreakers = field(init=False)
    bulkhead: Bulkhead = field(init=False)
    _latencies: defaultdict[str, RecentLatency] = field(factory=lambda: defaultdict(RecentLatency), init=False)
    _waiters: deque[_Waiter] = field(factory=deque, init=False)
    _unclosed: dict[Callee, Breaker] = field(factory=dict, init=False)
    """Breakers of callees that are not closed, in the order in which they changed."""
    _probed: trio.Event = field(factory=trio.Event, init=False)
    """Set when the running probe has ended, and then replaced."""
    _name: str = field(init=False)

    @_name.default
    def _titled(self) -> str:
        return title(self.service)

    @breakers.default
    def _breakers(self) -> LayeredBreakers:
        return LayeredBreakers(POLICIES[self.criticality])

    @bulkhead.default
    def _bulkhead(self) -> Bulkhead:
        return Bulkhead(self.max_concurrency)

    @property
    def breaker(self) -> Breaker:
        """The breaker of the service."""
        return self.breakers.service

    def callees(self) -> list[tuple[Callee, BreakerState]]:
        """Return the callees that are left alone, or probed, those last that changed last.

        One whose time is over is half open, whether it has been called since or not.
        """
        now = trio.current_time()
        return [
            (callee, breaker.state if breaker.seconds_left(now) > 0 else BreakerState.HALF_OPEN)
            for callee, breaker in self._unclosed.items()
        ]

    async def begin(self, step: ServiceCall, deadline: float, callee: Callee) -> Attempt:
        """Begin a try of a call, as soon as the bulkhead has room; its caller ends it by `end`, whatever happens.

        Args:
            step: the operation.
            deadline: of the wait and the try together, on trio's clock.
            callee: whose code it runs.

        Raises:
            CircuitOpen: the breaker of the callee or of the service is open.
            CallTimeout: the call can't finish in time.
            ServiceFault: too many calls wait already.
        """
        now = trio.current_time()
        permits = await self._enter(step, deadline, callee, now)
        # A probe has succeeded when its stream begins: other calls need not wait for the end of the stream.
        probes = permits.probe or permits.own.probe
        answered = partial(self._report, permits, CallOutcome.WELL) if probes else _nothing
        return Attempt(permits, deadline, trio.current_time(), answered)

    def end(self, step: ServiceCall, attempt: Attempt, error: BaseException | None) -> None:
        """End a try, and learn from it.

        Args:
            step: the operation.
            attempt: the try.
            error: what has ended it; None where it came to its end. What is no error of ours, such as a
                cancellation, says nothing of the service.
        """
        outcome, now = CallOutcome.UNKNOWN, trio.current_time()
        if isinstance(error, OrchestratorError):
            attempt.failure = error
        if error is None or isinstance(error, OrchestratorError):
            outcome = outcome_of(attempt.failure, now - attempt.began, self.fair_seconds)
        self._learn(step, attempt, outcome, now)

    async def _enter(self, step: ServiceCall, deadline: float, callee: Callee, now: float) -> Permits:
        if not self._latencies[step.operation].can_finish(deadline - now, now):
            raise self._rejection("deadline", CallTimeout(f"{self._name} can't answer in the time that is left."))
        permits = await self._ask(deadline, callee, now)
        if permits.probe:
            self.bulkhead.let_in()
            return permits
        try:
            await self._find_room(step, deadline)
        except BaseException:
            self._report(permits, CallOutcome.UNKNOWN)
            raise
        breaker = self.breakers.rejecting(permits)
        if breaker is not None:
            self._report(permits, CallOutcome.UNKNOWN)
            self._make_room()
            raise self._circuit_open(breaker, callee)
        return permits

    async def _ask(self, deadline: float, callee: Callee, now: float) -> Permits:
        """Ask the breakers; while another call probes, wait for its outcome."""
        patience = min(deadline, now + PROBE_SECONDS)
        while True:
            asked = self.breakers.ask(callee, now)
            self._tell(callee, asked.own_breaker if isinstance(asked, Permits) else self.breakers.own(callee))
            if isinstance(asked, Permits):
                return asked
            if asked.seconds_left(now, callee[0]) > 0 or now >= patience:
                raise self._circuit_open(asked, callee)
            with trio.move_on_at(patience):
                await self._probed.wait()
            now = trio.current_time()

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
                raise self._circuit_open(self.breaker)
            raise self._rejection("bulkhead", CallTimeout(f"{self._name} had no room for the call in time."))

    def _make_room(self) -> None:
        self.bulkhead.leave()
        while self._waiters and self.bulkhead.promote():
            waiter = self._waiters.popleft()
            waiter.inside = True
            waiter.turn.set()

    def _learn(self, step: ServiceCall, attempt: Attempt, outcome: CallOutcome, now: float) -> None:
        permits = attempt.permits
        if outcome is CallOutcome.FAILED and isinstance(attempt.failure, CallTimeout):
            self.bulkhead.ran_out_of_time(attempt.began, now, permits.callee)
        elif outcome is CallOutcome.WELL:
            self.bulkhead.went_well(permits.callee)
            if attempt.failure is None:
                # The latency of a stream is the time until it begins: its duration depends on its length.
                answered = now if attempt.heard_at is None else attempt.heard_at
                self._latencies[step.operation].add(answered - attempt.began, now)
        self._make_room()
        self._report(permits, outcome)

    def _report(self, permits: Permits, outcome: CallOutcome) -> None:
        self.breakers.report(permits, outcome, trio.current_time())
        if permits.probe or permits.own.probe:
            self._probed.set()
            self._probed = trio.Event()
        self._tell(permits.callee, permits.own_breaker)

    def _tell(self, callee: Callee, own: Breaker) -> None:
        """Tell which breakers are in another state than was told last."""
        service = self.breakers.service
        if service.state is not service.told:
            service.told = service.state
            self.changed(self)
            if service.state is BreakerState.OPEN:
                self._reject_waiters()
        if own.state is not own.told:
            own.told = own.state
            self._unclosed.pop(callee, None)
            if own.state is not BreakerState.CLOSED:
                self._unclosed[callee] = own
                while len(self._unclosed) > CALLEES:
                    del self._unclosed[next(iter(self._unclosed))]
            self.callee_changed(self, callee, own)

    def _reject_waiters(self) -> None:
        """Reject all waiting calls: the breaker of the service has opened."""
        while self._waiters:
            self.bulkhead.give_up()
            self._waiters.popleft().turn.set()

    def _circuit_open(self, breaker: Breaker, callee: Callee = ("", "")) -> CircuitOpen:
        seconds = breaker.seconds_left(trio.current_time(), callee[0]) or PROBE_SECONDS
        wait_ms = max(1, round(seconds * 1000))
        if breaker is self.breaker:
            error = CircuitOpen(
                f"The circuit breaker of {self._name} is open: too many calls failed.", retry_after_ms=wait_ms
            )
            self._rejection("breaker", error)
        else:
            error = CircuitOpen(
                f"The circuit breaker of {self._name} is open {_for(callee)}: too many of these calls failed.",
                retry_after_ms=wait_ms,
            )
            self._rejection("callee", error)
        return error

    def _rejection(self, reason: str, error: ServiceFault) -> ServiceFault:
        self.refused(self.service, reason)
        error.service = self.service
        return error


def _for(callee: Callee) -> str:
    kind, _, name = callee[1].partition(":")
    return f"for the {kind} {name!r}" if name else "for this tenant"
