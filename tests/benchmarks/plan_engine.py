"""What a plan costs of our own CPU, beside the same calls made by hand.

    python -m tests.benchmarks.plan_engine [--plans 300]

Each plan has ten calls that a transport answers at once, without I/O: what is measured is schedule, references,
conditions, checkpoints (into memory), guard and retry of every call. By hand: the same ten transport calls in the same
order, without any of it. CPU time of the process, both in turn, median of the rounds.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any, Final, cast

import trio
from attrs import evolve, frozen

from orchestrator.clients.registry import OPERATIONS, Clients
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.domain.plans.plans import check
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation
from orchestrator.models.plans.orchestration import ONCE, OrchestrationPlan, ServiceCall, Strategy
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.gateway.gateway import Gateway
from orchestrator.services.plans.attempt import TurnRunner
from orchestrator.services.plans.call_executor import PlanDone
from orchestrator.services.plans.plan_runner import PlanRunner
from orchestrator.services.workflows.plan_calls import PlanCalls
from tests.benchmarks.harness import Benchmark, Figures, Round, Row, at_most, run
from tests.services.plans.planned import FakePlanAttempt
from tests.support.calls import call_context

CALLS = 10
BUDGET_MS = 5.0
GET = OPERATIONS["tool_registry", "get"]
INPUT = {"tool": "clock", "yes": True}


@frozen
class NoTransport:
    """Answers at once."""

    service: str = "tool_registry"

    async def call(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> ServiceAnswer:
        await trio.lowlevel.checkpoint()
        return ServiceAnswer(self.service, {"payload": {"tool_id": parameters["tool_id"]}})


class NoClients:
    """Knows one transport."""

    def transport(self, service: str) -> NoTransport:
        return NoTransport(service)


def step(tool_id: str, *depends_on: str, when: dict[str, Any] | None = None) -> ServiceCall:
    return evolve(
        ServiceCall("tool_registry", "get", ONCE), parameters={"tool_id": tool_id}, depends_on=depends_on, when=when
    )


def shapes() -> dict[str, OrchestrationPlan]:
    """Three shapes of ten calls."""
    names = [f"c{number}" for number in range(CALLS)]
    parallel = {name: step("clock") for name in names}
    chain = {names[0]: step("$.input.tool")}
    for before, name in pairwise(names):
        chain[name] = step(f"$.calls.{before}.result.tool_id", before, when={"equals": ["$.input.yes", True]})
    layers = {name: step("$.input.tool") for name in names[:3]}
    for name in names[3:9]:
        layers[name] = step("$.calls.c0.result.tool_id", *names[:3])
    layers[names[9]] = step("$.calls.c8.result.tool_id", *names[3:9])
    made = {
        "parallel": OrchestrationPlan("p", "acme", parallel, Strategy.PARALLEL),
        "chain": OrchestrationPlan("p", "acme", chain),
        "layers": OrchestrationPlan("p", "acme", layers),
    }
    for plan in made.values():
        check(plan, OPERATIONS)
    return made


async def by_hand(name: str, transport: NoTransport) -> None:
    """Make the same calls."""
    context = call_context()

    async def one() -> None:
        await transport.call(context, GET, {"tool_id": "clock"}, user_id="ana")

    for width in {"parallel": [CALLS], "chain": [1] * CALLS, "layers": [3, 6, 1]}[name]:
        async with trio.open_nursery() as nursery:
            for _ in range(width):
                nursery.start_soon(one)


async def planned(plan: OrchestrationPlan, runner: PlanRunner) -> None:
    """Run the plan."""
    outcome = await runner.run(plan, INPUT, FakePlanAttempt())
    assert isinstance(outcome, PlanDone)
    assert len(outcome.results) == CALLS


async def cpu_ms(work: Callable[[], Awaitable[None]], times: int) -> float:
    """Return what one piece of work costs, in ms of CPU."""
    began = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - began) * 1000 / times


@asynccontextmanager
async def opened(plans: int = 300) -> AsyncIterator[Round]:
    """Make the plans, and what runs them."""
    # Neither the gateway nor an agent has a part in these calls.
    runner = PlanRunner(
        PlanCalls(cast("Clients", NoClients()), ServiceCoordinator(), cast("Gateway", None), cast("TurnRunner", None))
    )

    async def one_round() -> Figures:
        found = {}
        for name, plan in shapes().items():
            found[f"{name}, by hand, CPU ms"] = await cpu_ms(partial(by_hand, name, NoTransport()), plans)
            found[f"{name}, plan, CPU ms"] = await cpu_ms(partial(planned, plan, runner), plans)
            found[f"{name}, added, CPU ms"] = found[f"{name}, plan, CPU ms"] - found[f"{name}, by hand, CPU ms"]
        return found

    yield one_round


BENCHMARK: Final = Benchmark(
    opened,
    rows=tuple(
        Row(f"CPU that a plan of ten calls adds, {name}", "the same calls by hand", f"{name}, added, CPU ms",
            reach=at_most(BUDGET_MS), unit="ms")
        for name in ("parallel", "chain", "layers")
    ),
    smallest={"plans": 1},
    warm_up=1,
    rounds=5,
)  # fmt: skip

if __name__ == "__main__":
    run(BENCHMARK)
