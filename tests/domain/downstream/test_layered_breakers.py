"""A breaker for each callee before that of the service, by their properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.downstream.breaker import POLICIES, Breaker
from orchestrator.domain.downstream.call_outcomes import CallOutcome
from orchestrator.domain.downstream.callees import ByCallee, Callee
from orchestrator.domain.downstream.layered_breakers import LayeredBreakers, Permits
from orchestrator.models.operations.breakers import BreakerState, Criticality

POLICY = POLICIES[Criticality.CRITICAL]
BUGGY: Callee = ("acme", "agent:buggy")
OTHERS: list[Callee] = [("acme", "agent:echo"), ("globex", "agent:echo"), ("globex", "agent:buggy"), ("globex", "")]
CALL = st.tuples(st.sampled_from([BUGGY, *OTHERS]), st.sampled_from(list(CallOutcome)))


def call(breakers: LayeredBreakers, callee: Callee, outcome: CallOutcome, now: float = 0.0) -> Permits | Breaker:
    permits = breakers.ask(callee, now)
    if isinstance(permits, Permits):
        breakers.report(permits, outcome, now)
    return permits


@given(st.lists(CALL, max_size=200))
def test_a_callee_that_always_fails_is_left_alone_and_no_other(calls: list[tuple[Callee, CallOutcome]]) -> None:
    breakers = LayeredBreakers(POLICY)
    for callee, outcome in calls:
        mild = CallOutcome.UNKNOWN if outcome is CallOutcome.UNKNOWN else CallOutcome.WELL
        call(breakers, callee, CallOutcome.FAILED if callee == BUGGY else mild)
    for _ in range(POLICY.window):
        call(breakers, BUGGY, CallOutcome.FAILED)
    assert breakers.ask(BUGGY, 0) is breakers.own(BUGGY)
    for callee in OTHERS:
        assert isinstance(call(breakers, callee, CallOutcome.WELL), Permits)


@given(st.lists(st.sampled_from([BUGGY, *OTHERS]), min_size=POLICY.window, max_size=50))
def test_a_service_without_connection_is_left_alone_for_all(callees: list[Callee]) -> None:
    breakers = LayeredBreakers(POLICY)
    for callee in callees:
        call(breakers, callee, CallOutcome.AWAY)
    for callee in [BUGGY, *OTHERS]:
        assert breakers.ask(callee, 0) is breakers.service
        assert breakers.own(callee).state is BreakerState.CLOSED


def test_a_service_that_fails_several_tenants_is_left_alone_for_all() -> None:
    breakers = LayeredBreakers(POLICY)
    for _ in range(POLICY.window):
        call(breakers, ("acme", "agent:echo"), CallOutcome.FAILED)
        call(breakers, ("globex", "agent:echo"), CallOutcome.FAILED)
    assert breakers.ask(("initech", "agent:echo"), 0) is breakers.service


def test_the_agents_of_one_tenant_leave_the_service_to_the_others() -> None:
    breakers = LayeredBreakers(POLICY)
    for number in range(100):
        call(breakers, ("acme", f"agent:{number % 7}"), CallOutcome.FAILED)
    assert isinstance(breakers.ask(("globex", "agent:echo"), 0), Permits)


@given(st.lists(CALL, max_size=60), st.floats(0, 100))
def test_a_call_that_one_breaker_rejects_keeps_no_permit_of_the_other(
    calls: list[tuple[Callee, CallOutcome]], now: float
) -> None:
    breakers = LayeredBreakers(POLICY)
    for callee, outcome in calls:
        call(breakers, callee, outcome)
    later = now + 2 * POLICY.open_seconds
    for callee in [BUGGY, *OTHERS]:
        # Each is asked when no probe is under way: only a permit that was kept would reject it.
        assert isinstance(call(breakers, callee, CallOutcome.WELL, later), Permits)


def test_callees_are_remembered_within_a_bound() -> None:
    breakers = LayeredBreakers(POLICY, callees=3)
    for _ in range(POLICY.window):
        call(breakers, BUGGY, CallOutcome.FAILED)
    for number in range(3):
        call(breakers, ("acme", f"agent:{number}"), CallOutcome.WELL)
    assert isinstance(breakers.ask(BUGGY, 0), Permits)


@given(st.lists(st.integers(0, 20), max_size=100), st.integers(1, 10))
def test_the_state_that_was_used_last_is_kept(names: list[int], bound: int) -> None:
    kept: ByCallee[list[int]] = ByCallee(list, bound)
    for number in names:
        kept.of(("acme", str(number))).append(number)
        assert len(kept) <= bound
    latest = list(dict.fromkeys(reversed(names)))[:bound]
    for number in latest:
        assert kept.of(("acme", str(number)))


@pytest.mark.parametrize("outcome", [CallOutcome.UNKNOWN, CallOutcome.WELL])
def test_answers_that_are_wrong_in_themselves_leave_nobody_alone(outcome: CallOutcome) -> None:
    breakers = LayeredBreakers(POLICY)
    for _ in range(100):
        assert isinstance(call(breakers, BUGGY, outcome), Permits)
