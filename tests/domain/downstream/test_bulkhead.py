"""The bulkhead and the early refusal, by their properties."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.domain.downstream.bulkhead import (
    FLOOR_SHARE,
    LATE_CALLEES,
    QUEUE_SHARE,
    REMEMBERED,
    Bulkhead,
    BulkheadVerdict,
)
from orchestrator.domain.downstream.latency import ENOUGH, RECENT_SECONDS, RecentLatency


class BulkheadMachine(RuleBasedStateMachine):
    """Any order of comings and goings."""

    def __init__(self) -> None:
        super().__init__()
        self.bulkhead = Bulkhead(8)
        self.inside = 0
        self.line = 0
        self.now = 0.0

    @rule()
    def come(self) -> None:
        room = self.bulkhead.in_flight < self.bulkhead.limit and not self.line
        match self.bulkhead.admit(100.0, 0.1):
            case BulkheadVerdict.ENTER:
                assert room
                self.inside += 1
            case BulkheadVerdict.WAIT:
                assert not room
                self.line += 1
            case BulkheadVerdict.FULL:
                assert self.line == 8 * QUEUE_SHARE
            case BulkheadVerdict.LATE:
                raise AssertionError

    @precondition(lambda self: self.inside)
    @rule()
    def go(self) -> None:
        self.bulkhead.leave()
        self.inside -= 1
        while self.bulkhead.promote():
            self.inside += 1
            self.line -= 1
        assert self.line == 0 or self.inside >= self.bulkhead.limit

    @precondition(lambda self: self.line)
    @rule()
    def give_up(self) -> None:
        self.bulkhead.give_up()
        self.line -= 1

    @rule(seconds=st.floats(0, 5))
    def run_out_of_time(self, seconds: float) -> None:
        before = self.bulkhead.limit
        self.now += 1
        self.bulkhead.ran_out_of_time(self.now - seconds, self.now)
        assert self.bulkhead.limit <= before

    @rule()
    def go_well(self) -> None:
        before = self.bulkhead.limit
        self.bulkhead.went_well()
        assert before <= self.bulkhead.limit <= before + 1

    @invariant()
    def counts_are_right(self) -> None:
        assert (self.bulkhead.in_flight, self.bulkhead.waiting) == (self.inside, self.line)
        assert 1 <= self.bulkhead.limit <= 8


TestBulkhead = BulkheadMachine.TestCase


@given(st.integers(1, 200))
def test_a_service_that_is_always_slow_keeps_a_little_room(ceiling: int) -> None:
    bulkhead = Bulkhead(ceiling)
    for moment in range(100):
        bulkhead.ran_out_of_time(moment, moment + 0.5)
    assert bulkhead.limit == max(1, int(ceiling * FLOOR_SHARE))
    for _ in range(ceiling * ceiling):
        if bulkhead.limit == ceiling:
            break
        bulkhead.went_well()
    assert bulkhead.limit == ceiling


def test_calls_that_time_out_together_shrink_it_once() -> None:
    bulkhead = Bulkhead(100)
    for _ in range(100):
        bulkhead.ran_out_of_time(0.0, 5.0)
    assert bulkhead.limit == 75


def test_a_call_that_would_be_late_does_not_wait() -> None:
    bulkhead = Bulkhead(1)
    assert bulkhead.admit(10, 1.0) is BulkheadVerdict.ENTER
    assert bulkhead.admit(1.5, 1.0) is BulkheadVerdict.LATE
    assert bulkhead.admit(2.5, 1.0) is BulkheadVerdict.WAIT
    assert bulkhead.admit(2.5, 1.0) is BulkheadVerdict.LATE
    assert bulkhead.admit(0.1, None) is BulkheadVerdict.WAIT


@given(st.lists(st.floats(0.001, 100), min_size=ENOUGH, max_size=128), st.floats(0, 200))
def test_a_call_is_refused_only_where_almost_all_took_longer(samples: list[float], remaining: float) -> None:
    latency = RecentLatency()
    for seconds in samples:
        latency.add(seconds, 0)
    quicker = sum(seconds <= remaining for seconds in samples)
    assert latency.can_finish(remaining, 1) or quicker <= len(samples) * 0.05


@given(st.lists(st.floats(1, 100), max_size=ENOUGH - 1))
def test_too_few_calls_refuse_nothing(samples: list[float]) -> None:
    latency = RecentLatency()
    for seconds in samples:
        latency.add(seconds, 0)
    assert latency.can_finish(0.001, 1)
    assert latency.typical(1) is None


def test_a_service_that_was_slow_is_asked_again() -> None:
    latency = RecentLatency()
    for _ in range(100):
        latency.add(10.0, 0)
    assert not latency.can_finish(5, 1)
    assert latency.can_finish(5, RECENT_SECONDS + 1)


CALLEE = st.tuples(st.sampled_from(["acme", "globex"]), st.sampled_from([f"tool:{number}" for number in range(8)]))


@given(st.lists(st.tuples(CALLEE, st.booleans()), max_size=200), st.sets(CALLEE, max_size=LATE_CALLEES - 1))
def test_timeouts_of_a_few_callees_leave_the_limit_alone(
    calls: list[tuple[tuple[str, str], bool]], slow: set[tuple[str, str]]
) -> None:
    bulkhead = Bulkhead(16)
    for moment, (callee, late) in enumerate(calls):
        if late and callee in slow:
            bulkhead.ran_out_of_time(moment, moment + 0.5, callee)
        else:
            bulkhead.went_well(callee)
        assert bulkhead.limit == 16


@given(st.integers(LATE_CALLEES, REMEMBERED), st.integers(0, 100))
def test_timeouts_of_most_callees_lower_the_limit(callees: int, well: int) -> None:
    bulkhead = Bulkhead(16)
    for number in range(well):
        bulkhead.went_well(("acme", f"tool:{number % callees}"))
    for number in range(callees):
        bulkhead.ran_out_of_time(number, number + 0.5, ("acme", f"tool:{number}"))
    assert bulkhead.limit < 16


def test_timeouts_of_the_services_own_work_lower_the_limit() -> None:
    bulkhead = Bulkhead(16)
    bulkhead.ran_out_of_time(0, 1, ("acme", ""))
    assert bulkhead.limit == 12
