"""Breaker and bulkhead around real waits, on a clock that jumps."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from attrs import evolve
from trio.testing import MockClock

from orchestrator.config.settings import ServiceSettings
from orchestrator.domain.downstream.retry import TENANT_RESERVE
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    CircuitOpen,
    InvalidAnswer,
    NotFound,
    OrchestratorError,
    ReportedFailure,
    ServiceFault,
    ServiceUnreachable,
)
from orchestrator.models.common.call import CallContext
from orchestrator.models.operations.breakers import BreakerState
from orchestrator.models.operations.load import CalleeBreaker
from orchestrator.models.plans.orchestration import HIGH, ONCE, ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.telemetry.metrics import Metrics
from tests.support.calls import call_context

STEP = ServiceCall("tool_registry", "execute", ONCE)
"""Of a standard service: 50% of the last 20 calls, 30 seconds."""


def narrow(calls: int) -> ServiceCoordinator:
    return ServiceCoordinator(settings={"tool_registry": ServiceSettings(max_concurrency=calls)})


async def away(_: CallContext) -> None:
    raise ServiceUnreachable("Away.")


async def hanging(call: CallContext) -> None:
    await trio.sleep_until(call.deadline)
    raise CallTimeout("Slow.")


async def well(_: CallContext) -> str:
    await trio.sleep(0.01)
    return "done"


async def fail(coordinator: ServiceCoordinator, times: int, step: ServiceCall = STEP) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnreachable):
            await coordinator.run(step, call_context(), away)


async def test_the_breaker_opens_on_failures_and_closes_by_itself(autojump_clock: MockClock) -> None:
    told: list[tuple[str, BreakerState, float]] = []
    coordinator = ServiceCoordinator(notify=lambda *what: told.append(what))
    await fail(coordinator, 20)
    with pytest.raises(CircuitOpen, match="The circuit breaker of Tool Registry is open") as caught:
        await coordinator.run(STEP, call_context(), well)
    assert caught.value.retry_after_ms == 30_000
    assert caught.value.service == "tool_registry"
    assert coordinator.breakers() == {"tool_registry": BreakerState.OPEN}
    await trio.sleep(30)
    assert await coordinator.run(STEP, call_context(), well) == "done"
    assert coordinator.breakers() == {}
    assert told == [
        ("tool_registry", BreakerState.OPEN, 30.0),
        ("tool_registry", BreakerState.HALF_OPEN, 0.0),
        ("tool_registry", BreakerState.CLOSED, 0.0),
    ]


async def test_one_call_probes_and_the_others_wait_for_its_outcome(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 20)
    await trio.sleep(30)
    ends: list[str] = []
    probes = 0

    async def counted(call: CallContext) -> str:
        nonlocal probes
        probes += coordinator.breakers() == {"tool_registry": BreakerState.HALF_OPEN}
        return await well(call)

    async def caller() -> None:
        ends.append(await coordinator.run(STEP, call_context(), counted))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(caller)
    assert sorted(ends) == ["done"] * 5
    assert probes == 1


async def test_a_probe_without_outcome_is_not_waited_for_long(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 20)
    await trio.sleep(30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_quietly, coordinator, 20)
        await trio.testing.wait_all_tasks_blocked()
        begun = trio.current_time()
        with pytest.raises(CircuitOpen) as caught:
            await coordinator.run(STEP, call_context(), well)
        assert trio.current_time() - begun == pytest.approx(2)
        assert caught.value.retry_after_ms == 2000


async def test_a_probe_that_fails_opens_the_breaker_again(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 20)
    await trio.sleep(30)
    await fail(coordinator, 1)
    with pytest.raises(CircuitOpen):
        await coordinator.run(STEP, call_context(), well)


async def test_a_probe_that_is_cancelled_makes_way_for_the_next(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 20)
    await trio.sleep(30)
    with trio.move_on_after(0.5):
        await coordinator.run(STEP, call_context(), hanging)
    assert await coordinator.run(STEP, call_context(), well) == "done"


async def test_refusals_and_cancelled_calls_never_open_the_breaker(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()

    async def refused(_: CallContext) -> None:
        raise NotFound("404.")

    for _ in range(50):
        with pytest.raises(NotFound):
            await coordinator.run(STEP, call_context(), refused)
        with trio.move_on_after(2):
            await coordinator.run(STEP, call_context(), hanging)
    assert coordinator.breakers() == {}


async def test_an_open_breaker_is_not_waited_for_by_trying_again(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 20)
    begun = trio.current_time()
    with pytest.raises(CircuitOpen):
        await coordinator.run(ServiceCall("tool_registry", "execute", HIGH), call_context(100), well)
    assert trio.current_time() == begun


async def test_how_soon_the_breaker_opens_depends_on_the_criticality(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 10, ServiceCall("agent_execution", "execute", ONCE))
    with pytest.raises(CircuitOpen) as caught:
        await coordinator.run(ServiceCall("agent_execution", "cancel", ONCE), call_context(), well)
    assert caught.value.retry_after_ms == 15_000
    lenient = ServiceCoordinator(settings={"conversation": ServiceSettings(criticality="critical")})
    await fail(lenient, 10, ServiceCall("conversation", "append", ONCE))
    assert lenient.breakers() == {"conversation": BreakerState.OPEN}


async def test_a_service_gets_no_more_calls_at_once_than_its_limit(autojump_clock: MockClock) -> None:
    coordinator = narrow(3)
    running = peak = 0

    async def counted(_: CallContext) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await trio.sleep(0.1)
        running -= 1

    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(coordinator.run, STEP, call_context(), counted)
    assert peak == 3
    assert trio.current_time() - begun == pytest.approx(0.4)


async def test_waiting_calls_are_served_in_the_order_of_coming(autojump_clock: MockClock) -> None:
    coordinator, order = narrow(1), []

    def numbered(number: int) -> Callable[[CallContext], Awaitable[None]]:
        async def operation(_: CallContext) -> None:
            order.append(number)
            await trio.sleep(0.1)

        return operation

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(coordinator.run, STEP, call_context(), numbered(number))
            await trio.testing.wait_all_tasks_blocked()
    assert order == [0, 1, 2, 3]


async def test_the_line_is_bounded_and_leaving_it_makes_no_gap(autojump_clock: MockClock) -> None:
    coordinator = narrow(1)
    async with trio.open_nursery() as nursery:

        async def patient() -> None:
            with trio.move_on_after(20):
                await coordinator.run(STEP, call_context(100), hanging)

        for _ in range(5):
            nursery.start_soon(patient)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ServiceFault, match="Too many calls wait for Tool Registry") as caught:
            await coordinator.run(STEP, call_context(100), well)
        assert caught.value.retry_after_ms == 1000
    bulkhead = coordinator.guard("tool_registry").bulkhead
    assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)
    assert await coordinator.run(STEP, call_context(), well) == "done"


async def test_no_call_waits_in_line_beyond_its_deadline(autojump_clock: MockClock) -> None:
    coordinator = narrow(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_quietly, coordinator, 50)
        await trio.testing.wait_all_tasks_blocked()
        begun = trio.current_time()
        with pytest.raises(CallTimeout, match="no room"):
            await coordinator.run(STEP, call_context(5), well)
        assert trio.current_time() - begun == pytest.approx(5)
        nursery.cancel_scope.cancel()


async def _quietly(coordinator: ServiceCoordinator, seconds: float) -> None:
    with pytest.raises(CallTimeout):
        await coordinator.run(STEP, call_context(seconds), hanging)


async def test_a_limit_shrinks_where_calls_run_out_of_time(autojump_clock: MockClock) -> None:
    coordinator = narrow(100)
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(_quietly, coordinator, 5)
    assert coordinator.guard("tool_registry").bulkhead.limit == int(100 * 0.75**3)


async def test_waiting_calls_fail_when_the_breaker_opens(autojump_clock: MockClock) -> None:
    coordinator = narrow(20)
    ends: list[tuple[str, float]] = []
    begun = trio.current_time()

    async def caller(seconds: float) -> None:
        try:
            await coordinator.run(STEP, call_context(seconds), hanging)
        except ServiceFault as error:
            ends.append((type(error).__name__, trio.current_time() - begun))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(caller, 5)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(10):
            nursery.start_soon(caller, 100)
    assert ends[:20].count(("CallTimeout", 5.0)) >= 19
    assert [name for name, _ in ends].count("CircuitOpen") == 10
    assert coordinator.guard("tool_registry").bulkhead.waiting == 0


async def test_a_call_that_cannot_be_done_in_time_is_not_begun(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()

    async def slow(_: CallContext) -> None:
        await trio.sleep(3)

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(coordinator.run, STEP, call_context(), slow)
    begun = trio.current_time()
    with pytest.raises(CallTimeout, match="in the time that is left"):
        await coordinator.run(STEP, call_context(1), slow)
    assert trio.current_time() == begun
    assert await coordinator.run(ServiceCall("tool_registry", "list", ONCE), call_context(1), well) == "done"


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.1, 0.15, 0.2, 0.25])
async def test_a_call_cancelled_at_any_moment_leaves_nothing_behind(moment: float, autojump_clock: MockClock) -> None:
    coordinator = narrow(2)

    async def operation(_: CallContext) -> None:
        await trio.sleep(0.1)

    with trio.move_on_after(moment):
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(coordinator.run, STEP, call_context(), operation)
    bulkhead = coordinator.guard("tool_registry").bulkhead
    assert (bulkhead.in_flight, bulkhead.waiting) == (0, 0)


async def test_a_stream_that_has_begun_ends_the_probing(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 20)
    await trio.sleep(30)

    async def stream(call: CallContext) -> None:
        await trio.sleep(0.1)
        call.heard()
        await trio.sleep(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(coordinator.run, STEP, call_context(100), stream)
        await trio.sleep(0.05)
        begun = trio.current_time()
        assert await coordinator.run(STEP, call_context(), well) == "done"
        assert trio.current_time() - begun == pytest.approx(0.06)
        nursery.cancel_scope.cancel()


async def test_how_long_streams_last_does_not_refuse_calls(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()

    async def stream(call: CallContext) -> None:
        call.heard()
        await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(coordinator.run, STEP, call_context(), stream)
    assert await coordinator.run(STEP, call_context(1), well) == "done"


def of(tenant_id: str, callee: str = "", seconds: float = 10.0) -> CallContext:
    return evolve(call_context(seconds), tenant_id=tenant_id, callee=callee)


async def failing(_: CallContext) -> None:
    raise BadGateway("500.")


async def fail_for(coordinator: ServiceCoordinator, tenant_id: str, callee: str, times: int = 20) -> None:
    for _ in range(times):
        with pytest.raises(BadGateway):
            await coordinator.run(STEP, of(tenant_id, callee), failing)


async def test_an_agent_that_fails_is_left_alone_and_no_other_agent_or_tenant(autojump_clock: MockClock) -> None:
    told: list[tuple[str, BreakerState, float]] = []
    metrics = Metrics()
    coordinator = ServiceCoordinator(metrics, notify=lambda *what: told.append(what))
    await fail_for(coordinator, "acme", "agent:buggy")
    with pytest.raises(CircuitOpen, match="is open for the agent 'buggy'") as caught:
        await coordinator.run(STEP, of("acme", "agent:buggy"), well)
    assert caught.value.retry_after_ms == 30_000
    assert caught.value.service == "tool_registry"
    shown = CalleeBreaker("tool_registry", "acme", "agent:buggy", "open")
    assert coordinator.callee_breakers() == [shown]
    assert b'callee_breakers_open{service="tool_registry"} 1.0' in metrics.render("")[0]
    for tenant_id, callee in [("acme", "agent:echo"), ("acme", ""), ("globex", "agent:buggy")]:
        assert await coordinator.run(STEP, of(tenant_id, callee), well) == "done"
    assert coordinator.breakers() == {}
    assert told == []
    counted = metrics.render("")[0].decode()
    assert 'callee_circuit_opened_total{service="tool_registry"} 1.0' in counted
    assert 'service_call_refused_total{reason="callee",service="tool_registry"} 1.0' in counted
    await trio.sleep(30)
    assert await coordinator.run(STEP, of("acme", "agent:buggy"), well) == "done"


async def test_all_agents_of_one_tenant_may_fail_without_harm_to_the_others(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    for number in range(10):
        await fail_for(coordinator, "acme", f"agent:{number}", 10)
    assert await coordinator.run(STEP, of("globex"), well) == "done"
    assert coordinator.breakers() == {}


async def test_a_service_that_fails_several_tenants_is_left_alone_for_all(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    for tenant_id in ("acme", "globex"):
        await fail_for(coordinator, tenant_id, "agent:echo", 10)
    with pytest.raises(CircuitOpen, match="The circuit breaker of Tool Registry is open: "):
        await coordinator.run(STEP, of("initech"), well)


async def test_an_agent_that_hangs_as_a_probe_does_not_hold_the_service_up_for_others(
    autojump_clock: MockClock,
) -> None:
    coordinator = ServiceCoordinator()
    await fail(coordinator, 20)
    await trio.sleep(30)
    with pytest.raises(CallTimeout):
        await coordinator.run(STEP, of("acme", "agent:slow", 5), hanging)
    with pytest.raises(CircuitOpen) as caught:
        await coordinator.run(STEP, of("acme", "agent:slow"), well)
    assert caught.value.retry_after_ms == 30_000
    assert await coordinator.run(STEP, of("globex"), well) == "done"
    assert coordinator.breakers() == {}
    assert await coordinator.run(STEP, of("acme", "agent:slow"), well) == "done"


@pytest.mark.parametrize("error", [InvalidAnswer("Nonsense."), ReportedFailure("No model.")])
async def test_faults_of_an_agents_own_are_tried_once_and_open_nothing(
    error: OrchestratorError, autojump_clock: MockClock
) -> None:
    coordinator, tries = ServiceCoordinator(), 0

    async def wrong(_: CallContext) -> None:
        nonlocal tries
        tries += 1
        raise error

    for _ in range(100):
        with pytest.raises(type(error)):
            await coordinator.run(evolve(STEP, retry_policy=HIGH), of("acme", "agent:buggy"), wrong)
    assert tries == 100
    assert await coordinator.run(STEP, of("acme", "agent:buggy"), well) == "done"


async def test_one_probe_at_a_time_finds_out_about_an_agent_too(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    await fail_for(coordinator, "acme", "agent:buggy")
    await trio.sleep(30)
    running = peak = 0

    async def counted(call: CallContext) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await trio.sleep(0.1)
        running -= 1
        raise BadGateway("Still.")

    async def caller() -> None:
        with pytest.raises((BadGateway, CircuitOpen)):
            await coordinator.run(STEP, of("acme", "agent:buggy"), counted)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(caller)
    assert peak == 1


async def test_a_probe_of_an_agent_that_finds_no_room_makes_way_for_the_next(autojump_clock: MockClock) -> None:
    coordinator = narrow(1)
    await fail_for(coordinator, "acme", "agent:buggy")
    await trio.sleep(30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_quietly, coordinator, 20)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(CallTimeout, match="no room"):
            await coordinator.run(STEP, of("acme", "agent:buggy", 5), well)
        with trio.move_on_after(1):
            await coordinator.run(STEP, of("acme", "agent:buggy", 5), well)
    assert await coordinator.run(STEP, of("acme", "agent:buggy"), well) == "done"


async def test_retries_of_an_agent_that_fails_leave_those_of_others(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    step = evolve(STEP, retry_policy=HIGH)
    tries = 0

    async def counted(_: CallContext) -> None:
        nonlocal tries
        tries += 1
        raise BadGateway("500.")

    for number in range(100):
        with pytest.raises((BadGateway, CircuitOpen)):
            await coordinator.run(step, of("acme", f"agent:{number % 10}"), counted)
    assert tries <= 100 * 1.2 + TENANT_RESERVE
    errors = [BadGateway("500."), BadGateway("500.")]

    async def passing(_: CallContext) -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert await coordinator.run(step, of("globex", "agent:echo"), passing) == "done"


async def test_a_callee_whose_time_is_over_is_shown_as_probed_and_no_more_when_it_is_well(
    autojump_clock: MockClock,
) -> None:
    coordinator = ServiceCoordinator()
    await fail_for(coordinator, "acme", "agent:buggy")
    await trio.sleep(30)
    assert [one.state for one in coordinator.callee_breakers()] == [BreakerState.HALF_OPEN]
    assert await coordinator.run(STEP, of("acme", "agent:buggy"), well) == "done"
    assert coordinator.callee_breakers() == []


async def test_an_agent_that_hangs_leaves_the_others_their_room(autojump_clock: MockClock) -> None:
    coordinator = ServiceCoordinator()
    before = coordinator.guard(STEP.service).bulkhead.limit
    for _ in range(20):
        with pytest.raises((CallTimeout, CircuitOpen)):
            await coordinator.run(STEP, of("acme", "agent:slow", 5), hanging)
    assert coordinator.guard(STEP.service).bulkhead.limit == before
