"""The retry schedule, by its properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.downstream.retry import RetryBudget, backoff_seconds, retry_delay
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    CircuitOpen,
    NotFound,
    OrchestratorError,
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
