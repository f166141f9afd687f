"""The retry schedule, by its properties."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.downstream.callees import Callee
from orchestrator.domain.downstream.retry import (
    CALLEE_RESERVE,
    TENANT_RESERVE,
    RetryBudget,
    RetryBudgets,
    backoff_seconds,
    repeats_call,
    retry_delay,
)
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    CircuitOpen,
    InvalidAnswer,
    NotFound,
    OrchestratorError,
    ReportedFailure,
    ServiceFault,
    ServiceRefused,
    ServiceUnreachable,
    Unauthorized,
)
from orchestrator.models.plans.orchestration import HIGH, LOW, MEDIUM, ONCE, RetryPolicy

POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 10),
    first_ms=st.floats(0, 10_000),
    factor=st.floats(1, 3),
    step_ms=st.floats(0, 5000),
    jitter=st.floats(0, 0.5),
)
CHANCE = st.floats(-1, 1)


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (HIGH, [0.2, 0.3, 0.45, 0.675]),
        (MEDIUM, [1.0, 2.0]),
        (LOW, [2.0]),
        (ONCE, []),
    ],
)
def test_the_policies_are_those_of_the_reference(policy: RetryPolicy, delays: list[float]) -> None:
    found = [retry_delay(policy, failed, CallTimeout("Slow."), remaining=100, chance=0) for failed in range(1, 12)]
    assert found == [*(pytest.approx(delay) for delay in delays), *[None] * (11 - len(delays))]


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ServiceUnreachable("Away."), True),
        (CallTimeout("Slow."), True),
        (BadGateway("Broken."), True),
        (ServiceFault("Full."), True),
        (CircuitOpen("Left alone."), True),
        (ServiceRefused("No."), False),
        (NotFound("Nothing."), False),
        (Unauthorized("Who?"), False),
        (InvalidAnswer("Nonsense."), False),
    ],
)
def test_only_transient_failures_are_retried(error: OrchestratorError, again: bool) -> None:
    assert (retry_delay(HIGH, 1, error, remaining=100, chance=0) is not None) is again


@given(POLICIES, st.integers(1, 12), st.floats(0, 20), CHANCE)
def test_no_retry_starts_that_cannot_finish(policy: RetryPolicy, failed: int, remaining: float, chance: float) -> None:
    delay = retry_delay(policy, failed, CallTimeout("Slow."), remaining=remaining, chance=chance)
    assert delay is None or 0 <= delay < remaining


@given(POLICIES, st.integers(1, 9), CHANCE)
def test_jitter_stays_within_its_share(policy: RetryPolicy, failed: int, chance: float) -> None:
    delay = retry_delay(policy, failed, CallTimeout("Slow."), remaining=1e12, chance=chance)
    if failed >= policy.attempts:
        assert delay is None
    else:
        middle = backoff_seconds(policy, failed)
        assert delay is not None
        assert middle * (1 - policy.jitter) - 1e-9 <= delay <= middle * (1 + policy.jitter) + 1e-9


@given(POLICIES, st.integers(0, 60_000), CHANCE)
def test_the_retry_after_of_a_service_is_waited_out(policy: RetryPolicy, asked_ms: int, chance: float) -> None:
    error = ServiceFault("Full.", retry_after_ms=asked_ms)
    delay = retry_delay(policy, 1, error, remaining=1e12, chance=chance)
    assert delay is None or delay >= asked_ms / 1000


@given(POLICIES, st.integers(1, 11))
def test_delays_never_shrink(policy: RetryPolicy, failed: int) -> None:
    assert backoff_seconds(policy, failed + 1) >= backoff_seconds(policy, failed)


@given(st.lists(st.booleans(), max_size=400))
def test_retries_stay_under_their_share_of_the_calls(calls: list[bool]) -> None:
    budget = RetryBudget()
    retries = 0
    for count, fails in enumerate(calls, 1):
        budget.earn()
        while fails and budget.spend():
            retries += 1
        assert retries <= budget.reserve + budget.share * count + 1e-6


def test_a_failure_that_an_agent_reports_is_for_the_task_to_repeat_not_for_the_call() -> None:
    error = ReportedFailure("Its model is overloaded.")
    assert not repeats_call(error)
    assert retry_delay(HIGH, 1, error, remaining=100, chance=0) is not None
    assert repeats_call(BadGateway("503."))


CALLEES = st.sampled_from([("acme", "agent:a"), ("acme", "agent:b"), ("globex", "agent:a"), ("globex", "")])


@given(st.lists(st.tuples(CALLEES, st.booleans()), max_size=400))
def test_retries_stay_under_the_share_of_each_callee_tenant_and_service(calls: list[tuple[Callee, bool]]) -> None:
    budgets, made, retries = RetryBudgets(), Counter[object](), Counter[object]()
    for callee, fails in calls:
        made.update([callee, callee[0], "all"])
        budgets.earn(callee)
        while fails and budgets.spend(callee):
            retries.update([callee, callee[0], "all"])
        assert retries["all"] <= budgets.service.reserve + 0.2 * made["all"] + 1e-6
        assert retries[callee[0]] <= TENANT_RESERVE + 0.2 * made[callee[0]] + 1e-6
        assert retries[callee] <= CALLEE_RESERVE + 0.2 * made[callee] + 1e-6


@given(st.lists(st.sampled_from(["agent:a", "agent:b", "agent:c"]), max_size=400))
def test_a_tenant_whose_calls_always_fail_leaves_retries_to_the_others(agents: list[str]) -> None:
    budgets = RetryBudgets()
    for agent in agents:
        budgets.earn(("acme", agent))
        while budgets.spend(("acme", agent)):
            pass
    assert all(budgets.spend(("globex", "agent:a")) for _ in range(HIGH.attempts - 1))


def test_an_agent_whose_calls_always_fail_leaves_retries_to_the_other_agents_of_its_tenant() -> None:
    budgets = RetryBudgets()
    while budgets.spend(("acme", "agent:buggy")):
        pass
    assert all(budgets.spend(("acme", "agent:echo")) for _ in range(HIGH.attempts - 1))


@pytest.mark.parametrize("policy", [HIGH, MEDIUM])
def test_however_often_it_has_failed_the_delay_is_bounded(policy: RetryPolicy) -> None:
    assert backoff_seconds(policy, 10**30) * 1000 == policy.cap_ms
