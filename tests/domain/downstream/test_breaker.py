"""The circuit breaker, by its properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.downstream.breaker import POLICIES, Breaker, BreakerPolicy
from orchestrator.models.operations.breakers import BreakerState, Criticality

POLICY = st.sampled_from(sorted(POLICIES.values(), key=lambda policy: policy.window))


def call(breaker: Breaker, failed: bool | None, now: float = 0.0) -> None:
    leave = breaker.ask(now)
    assert leave is not None
    breaker.report(leave, failed, now)


def opened(policy: BreakerPolicy, now: float = 0.0) -> Breaker:
    breaker = Breaker(policy)
    for _ in range(policy.window):
        call(breaker, True, now)
    assert breaker.state is BreakerState.OPEN
    return breaker


@pytest.mark.parametrize(
    ("criticality", "policy"),
    [
        (Criticality.CRITICAL, BreakerPolicy(0.3, 10, 15)),
        (Criticality.STANDARD, BreakerPolicy(0.5, 20, 30)),
        (Criticality.NON_CRITICAL, BreakerPolicy(0.7, 30, 60)),
    ],
)
def test_the_policies_are_those_of_the_reference(criticality: Criticality, policy: BreakerPolicy) -> None:
    assert POLICIES[criticality] == policy


@given(POLICY, st.lists(st.booleans(), max_size=100))
def test_it_opens_exactly_when_too_many_of_the_last_calls_failed(policy: BreakerPolicy, ends: list[bool]) -> None:
    breaker = Breaker(policy)
    for at, failed in enumerate(ends):
        call(breaker, failed)
        last = ends[max(0, at + 1 - policy.window) : at + 1]
        if failed and len(last) == policy.window and sum(last) >= policy.share * policy.window:
            assert breaker.state is BreakerState.OPEN
            return
        assert breaker.state is BreakerState.CLOSED


@given(POLICY, st.lists(st.none(), max_size=100))
def test_neutral_outcomes_change_nothing(policy: BreakerPolicy, ends: list[None]) -> None:
    breaker = Breaker(policy)
    for end in ends:
        call(breaker, end)
    assert breaker.state is BreakerState.CLOSED


@given(POLICY, st.floats(0, 1e6), st.floats(0, 0.99))
def test_it_lets_nothing_through_while_it_is_open(policy: BreakerPolicy, now: float, share: float) -> None:
    breaker = opened(policy, now)
    later = now + policy.open_seconds * share
    assert breaker.ask(later) is None
    assert breaker.seconds_left(later) == pytest.approx(policy.open_seconds * (1 - share), abs=1e-6)


@given(POLICY, st.booleans())
def test_one_probe_at_a_time_decides_how_it_goes_on(policy: BreakerPolicy, failed: bool) -> None:
    breaker = opened(policy)
    now = policy.open_seconds
    probe = breaker.ask(now)
    assert probe is not None
    assert probe.probe
    assert breaker.ask(now) is None
    breaker.report(probe, failed, now)
    if failed:
        assert breaker.ask(now + policy.open_seconds * 0.99) is None
        assert breaker.ask(now + policy.open_seconds) is not None
    else:
        assert breaker.state is BreakerState.CLOSED
        call(breaker, True, now)
        assert breaker.state is BreakerState.CLOSED


def test_a_probe_that_was_cancelled_makes_way_for_another() -> None:
    breaker = opened(POLICIES[Criticality.CRITICAL])
    probe = breaker.ask(15)
    assert probe is not None
    breaker.report(probe, None, 16)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.ask(16) is not None


@given(POLICY, st.booleans())
def test_calls_that_began_before_it_opened_no_longer_count(policy: BreakerPolicy, failed: bool) -> None:
    breaker = Breaker(policy)
    early = breaker.ask(0)
    assert early is not None
    for _ in range(policy.window):
        call(breaker, True)
    breaker.report(early, failed, 1)
    assert breaker.state is BreakerState.OPEN
    assert breaker.seconds_left(1) == policy.open_seconds - 1
    probe = breaker.ask(policy.open_seconds)
    assert probe is not None
    breaker.report(early, failed, policy.open_seconds)
    assert breaker.ask(policy.open_seconds) is None


def report(breaker: Breaker, *outcomes: tuple[str, bool], now: float = 0.0) -> None:
    """Make calls of tenants that failed or not, as long as the breaker lets them through."""
    for tenant_id, failed in outcomes:
        leave = breaker.ask(now, tenant_id)
        if leave is not None:
            breaker.report(leave, failed, now, tenant_id, runs_callee=True)


TENANT = st.sampled_from(["acme", "globex", "initech"])


@given(POLICY, st.lists(st.tuples(TENANT, st.booleans()), max_size=200))
def test_the_failures_of_one_tenants_callees_alone_never_open_it(
    policy: BreakerPolicy, calls: list[tuple[str, bool]]
) -> None:
    breaker = Breaker(policy)
    for tenant_id, failed in calls:
        report(breaker, (tenant_id, failed and tenant_id == "acme"))
        assert breaker.state is BreakerState.CLOSED


@given(st.sampled_from(list(POLICIES.values())), TENANT, st.integers(0, 60), st.integers(0, 60))
def test_stray_failures_of_another_beside_those_of_one_tenant_do_not_open_it(
    policy: BreakerPolicy, stray: str, first: int, second: int
) -> None:
    breaker = Breaker(policy)
    calls = [("umbrella", True)] * 60
    for at in (first, second):
        calls.insert(at, (stray, True))
    report(breaker, *calls)
    assert breaker.state is BreakerState.CLOSED


@given(st.sampled_from(list(POLICIES.values())), st.lists(TENANT, min_size=60, max_size=60))
def test_failures_of_several_tenants_open_it(policy: BreakerPolicy, tenants: list[str]) -> None:
    breaker = Breaker(policy)
    calls = [(tenant_id, True) for tenant_id in tenants] + [("acme", True), ("globex", True)] * policy.window
    report(breaker, *calls)
    assert breaker.state is BreakerState.OPEN


@given(st.sampled_from(list(POLICIES.values())), st.booleans())
def test_a_service_that_fails_its_only_tenant_in_its_own_work_is_left_alone_unless_others_do_well(
    policy: BreakerPolicy, others: bool
) -> None:
    breaker = Breaker(policy)
    for at in range(2 * policy.window):
        leave = breaker.ask(0)
        if leave is not None:
            well = others and at % 5 == 0
            breaker.report(leave, not well, 0, "globex" if well else "acme")
    assert breaker.state is (BreakerState.CLOSED if others else BreakerState.OPEN)


@given(POLICY, TENANT)
def test_failures_without_a_tenant_open_it_whoever_called(policy: BreakerPolicy, tenant_id: str) -> None:
    breaker = Breaker(policy)
    for _ in range(policy.window):
        leave = breaker.ask(0, tenant_id)
        assert leave is not None
        breaker.report(leave, True, 0)
    assert breaker.state is BreakerState.OPEN


@given(st.sampled_from(list(POLICIES.values())))
def test_a_probe_that_one_tenant_fails_leaves_the_next_probe_to_the_others(policy: BreakerPolicy) -> None:
    breaker, now = opened(policy), policy.open_seconds
    report(breaker, ("acme", True), now=now)
    assert breaker.ask(now, "acme") is None
    assert breaker.seconds_left(now, "acme") == policy.open_seconds
    assert breaker.seconds_left(now, "globex") == 0
    report(breaker, ("globex", False), now=now)
    assert breaker.state is BreakerState.CLOSED


@given(st.sampled_from(list(POLICIES.values())))
def test_probes_that_two_tenants_fail_open_it_again(policy: BreakerPolicy) -> None:
    breaker, now = opened(policy), policy.open_seconds
    report(breaker, ("acme", True), ("globex", True), now=now)
    assert breaker.state is BreakerState.OPEN


@given(st.sampled_from(list(POLICIES.values())))
def test_the_only_tenant_probes_again_after_the_time_of_an_open_breaker(policy: BreakerPolicy) -> None:
    breaker, now = opened(policy), policy.open_seconds
    report(breaker, ("acme", True), now=now)
    report(breaker, ("acme", False), now=now + policy.open_seconds)
    assert breaker.state is BreakerState.CLOSED
