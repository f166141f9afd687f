"""Running calls under a policy, on a clock that jumps."""

import pytest
import trio
from trio.testing import MockClock

from orchestrator.errors import CallTimeout, NotFound, ServiceFault, ServiceUnreachable
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import HIGH, MEDIUM, RetryPolicy, ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from tests.support.calls import call_context


async def failing(step: ServiceCall, error: Exception, seconds: float = 1000.0) -> list[float]:
    """Return at which moments, in seconds, a call was tried that always fails."""
    begun = trio.current_time()
    tries: list[float] = []

    async def operation(_: CallContext) -> None:
        tries.append(trio.current_time() - begun)
        raise error

    with pytest.raises(type(error)) as caught:
        await ServiceCoordinator().run(step, call_context(seconds), operation)
    assert caught.value is error
    return tries


async def test_a_call_is_tried_as_often_as_its_policy_says(autojump_clock: MockClock) -> None:
    tries = await failing(ServiceCall("query", "query", HIGH), ServiceUnreachable("Away."))
    assert tries == [pytest.approx(moment, rel=0.11, abs=1e-6) for moment in (0, 0.2, 0.5, 0.95, 1.625)]


async def test_a_permanent_failure_is_tried_once(autojump_clock: MockClock) -> None:
    assert await failing(ServiceCall("query", "query", HIGH), NotFound("Nothing.")) == [0]


async def test_the_deadline_ends_the_tries(autojump_clock: MockClock) -> None:
    assert len(await failing(ServiceCall("query", "query", MEDIUM), CallTimeout("Slow."), seconds=2)) == 2


async def test_retry_after_is_waited_out(autojump_clock: MockClock) -> None:
    tries = await failing(ServiceCall("query", "query", MEDIUM), ServiceFault("Full.", retry_after_ms=7000))
    assert tries == [0, pytest.approx(7), pytest.approx(14)]


async def test_a_later_try_may_succeed(autojump_clock: MockClock) -> None:
    errors = [ServiceUnreachable("Away."), CallTimeout("Slow.")]

    async def operation(_: CallContext) -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert await ServiceCoordinator().run(ServiceCall("query", "query"), call_context(), operation) == "done"


async def test_a_try_gets_its_own_deadline_within_the_whole(autojump_clock: MockClock) -> None:
    seen: list[float] = []

    async def operation(limited: CallContext) -> None:
        seen.append(limited.deadline - trio.current_time())

    coordinator = ServiceCoordinator()
    await coordinator.run(ServiceCall("query", "query", timeout_ms=500), call_context(10), operation)
    await coordinator.run(ServiceCall("query", "query", timeout_ms=50_000), call_context(10), operation)
    assert seen == [pytest.approx(0.5), pytest.approx(10)]


async def test_retries_never_become_the_overload(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    step = ServiceCall("query", "query", RetryPolicy(attempts=5, first_ms=1))
    tries = 0

    async def operation(_: CallContext) -> None:
        nonlocal tries
        tries += 1
        raise CallTimeout("Slow.")

    for _ in range(200):
        with pytest.raises(CallTimeout):
            await coordinator.run(step, call_context(), operation)
    assert tries <= 200 * 1.2 + 10
