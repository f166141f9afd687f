"""A plan's run in memory, which can be lost at any step, and services that do as they are told."""

from collections.abc import Callable, Mapping
from typing import Any

import trio
from attrs import define, evolve, field

from orchestrator.errors import FencedOut, OrchestratorError
from orchestrator.models.plans.orchestration import ONCE, OnFailure, OrchestrationPlan, ServiceCall, Strategy
from orchestrator.models.plans.plan_state import CallState, PlanProgress
from orchestrator.models.tasks.task import CancelledBy, TaskMessage
from orchestrator.models.tasks.waits import Wait, WaitKind
from orchestrator.services.plans.attempt import CallWaits
from orchestrator.services.plans.call_executor import PlannedCall
from tests.support.calls import FakeDelegations, a_message


class Crash(Exception):
    """The process is gone."""


@define
class FakePlanAttempt:
    """Keeps in a dict what the real one keeps in Redis."""

    message: TaskMessage = field(factory=a_message)
    checkpoints: dict[str, Any] = field(factory=dict)
    stopped_by: CancelledBy | None = None
    told: list[PlanProgress] = field(factory=list)
    writes_left: int | None = None
    """How many checkpoints are written before the process is lost; None: all."""
    lost_after: bool = False
    """Whether the last of them is written, though the plan does not hear of it."""
    fenced: bool = False
    delegations: FakeDelegations = field(factory=FakeDelegations)
    kept: dict[str, Any] = field(factory=dict)
    slowness: float = 0.0

    async def checkpoint(self, name: str, result: Any, progress: PlanProgress | None = None) -> None:
        await trio.sleep(self.slowness)
        if self.fenced:
            raise FencedOut
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                if self.lost_after:
                    self.kept[name] = result
                raise Crash
        self.kept[name] = result
        if progress is not None:
            self.told.append(progress)

    async def tell(self, progress: PlanProgress) -> None:
        await trio.lowlevel.checkpoint()
        if self.fenced:
            raise FencedOut
        self.told.append(progress)

    def next_attempt(self, **answers: Any) -> "FakePlanAttempt":
        """The same task, claimed again, with the answers that have come."""
        came = {f"answer:{call_id}": answer for call_id, answer in answers.items()}
        return FakePlanAttempt(self.message, {**self.checkpoints, **self.kept, **came})

    def states(self, name: str) -> list[CallState]:
        return [progress.state for progress in self.told if progress.call == name]


Deed = Callable[[PlannedCall], Any]


@define
class FakeExecutor:
    """Makes calls in no time, but for what tests say."""

    fails: Mapping[str, OrchestratorError] = field(factory=dict)
    takes: Mapping[str, float] = field(factory=dict)
    """Seconds, by call."""
    waits: frozenset[str] = frozenset()
    begun: list[str] = field(factory=list)
    ended: list[str] = field(factory=list)
    calls: list[PlannedCall] = field(factory=list)

    async def perform(self, call: PlannedCall) -> Any:
        self.begun.append(call.name)
        self.calls.append(call)
        await trio.sleep(self.takes.get(call.name, 0.0))
        if call.name in self.fails:
            raise self.fails[call.name]
        if call.name in self.waits:
            if call.answer is None:
                raise CallWaits(Wait(call.name, WaitKind.DELEGATED, 60_000))
            self.ended.append(call.name)
            return call.answer.result
        self.ended.append(call.name)
        return {"of": call.name, **call.step.parameters}

    def parameters(self, name: str) -> dict[str, Any]:
        return next(call.step.parameters for call in self.calls if call.name == name)


def step(*depends_on: str, undo: bool = False, **more: Any) -> ServiceCall:
    """A call of no service in particular."""
    compensate = ServiceCall("conversation", "delete", ONCE) if undo else None
    return evolve(ServiceCall("conversation", "messages", ONCE), depends_on=depends_on, compensate=compensate, **more)


def a_plan(
    on_failure: OnFailure = OnFailure.FAIL,
    strategy: Strategy = Strategy.GRAPH,
    deadline_ms: int = 5000,
    **calls: ServiceCall,
) -> OrchestrationPlan:
    return OrchestrationPlan("p", "acme", calls, strategy, deadline_ms, on_failure)
