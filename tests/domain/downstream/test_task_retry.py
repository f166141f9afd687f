"""The verdict on a task that has failed: start over, or give up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.downstream.retry import LONGEST_TASK_DELAY_MS, task_policy, task_retry_delay
from orchestrator.errors import BadGateway, InternalFault, NotFound, OrchestratorError, ServiceRefused, TaskExpired

CHANCE = st.floats(-1, 1)
FAULT = BadGateway("nonsense")


@given(st.integers(0, 20), st.integers(1, 30), st.floats(0.001, 30), st.floats(0, 600), CHANCE)
def test_a_task_starts_over_so_often_within_its_time_and_never_later_than_the_cap(
    retries: int, failed: int, first: float, remaining: float, chance: float
) -> None:
    delay = task_retry_delay(task_policy(retries, first), failed, FAULT, remaining=remaining, chance=chance)
    if delay is None:
        assert failed > retries or min(30.0, first * 2 ** (failed - 1)) * 1.15 + 0.011 > remaining
    else:
        assert failed <= retries
        assert delay < remaining
        assert first * 0.84 <= delay <= LONGEST_TASK_DELAY_MS / 1000 * 1.16


def test_each_delay_is_twice_the_one_before_up_to_the_cap() -> None:
    policy = task_policy(10, 1.0)
    delays = [task_retry_delay(policy, failed, FAULT, remaining=600, chance=0) for failed in range(1, 8)]
    assert delays == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(
    "error", [NotFound("x"), ServiceRefused("x"), InternalFault("x"), TaskExpired("x")], ids=lambda one: one.code
)
def test_a_permanent_failure_is_given_up(error: OrchestratorError) -> None:
    assert task_retry_delay(task_policy(5, 1.0), 1, error, remaining=600, chance=0) is None


@pytest.mark.parametrize(("asked_ms", "delay"), [(500, 1.0), (5000, 5.0), (30_000, 30.0), (30_001, None)])
def test_a_retry_after_is_waited_out_up_to_the_cap(asked_ms: int, delay: float | None) -> None:
    error = BadGateway("later", retry_after_ms=asked_ms)
    assert task_retry_delay(task_policy(5, 1.0), 1, error, remaining=600, chance=0) == delay
