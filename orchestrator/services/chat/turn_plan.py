"""The plans of chat turns, and of questions outside of conversations.

    question ─────────────────────┐
    agent ───┐                    │
    context ─┼─▶ execute ─▶ ──────┴─▶ answer
    tools ───┘

What has been read is not kept: a later attempt reads it again, in the version of the agent that the first one has
pinned. What has an effect is: the agent's answer, and what the turn waits for.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from attrs import evolve, field, frozen

from orchestrator.clients.transport.responses import MAX_LINE_BYTES
from orchestrator.domain.plans.plan_schedule import PlanSchedule
from orchestrator.models.plans.orchestration import HIGH, ONCE, OrchestrationPlan, ServiceCall
from orchestrator.models.plans.plan_state import CallState, PlanProgress
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.delegation.delegations import Delegating
from orchestrator.services.downstream.agent_catalog import AGENT, TOOLS
from orchestrator.services.plans.attempt import Attempt
from orchestrator.services.plans.call_executor import CallExecutor, PlanDone, PlanUndone, PlanWaiting
from orchestrator.services.plans.plan_runner import PlanRunner

EXECUTED: Final = "execute"
"""Checkpoint: the agent has answered. It is the name of the call, too."""
_QUESTION: Final = ServiceCall("conversation", "append", HIGH, optional=True)
_CONTEXT: Final = ServiceCall("conversation", "context", ONCE)
"""Not optional: the window that is kept here stands in for the service, and nothing for that."""
_ANSWER: Final = ServiceCall("conversation", "append", HIGH, optional=True)
_EXECUTE: Final = ServiceCall("agent_execution", "execute", HIGH)
_READS: Final = {"agent": AGENT, "context": _CONTEXT, "tools": evolve(TOOLS, optional=True)}
ALL_READS: Final = tuple(_READS)
RESULT_BYTES: Final = 2 * MAX_LINE_BYTES
"""An agent's answer is a line, and wrapped it is a little longer."""


@lru_cache
def turn_schedule(reads: tuple[str, ...], *, question: bool, answer: bool = True) -> PlanSchedule:
    """Return what an attempt consists of; there are but a few kinds.

    Args:
        reads: what the agent is given: `agent`, `context`, `tools`; what it has been given already is not read again.
        question: whether the user's message is yet to be stored.
        answer: whether the agent's answer is to be stored.
    """
    calls = {name: _READS[name] for name in reads}
    calls[EXECUTED] = evolve(_EXECUTE, depends_on=reads)
    if question:
        calls["question"] = _QUESTION
    if answer:
        calls["answer"] = evolve(_ANSWER, depends_on=(EXECUTED, "question") if question else (EXECUTED,))
    return PlanSchedule.of(calls)


async def run_turn(executor: CallExecutor, run: Attempt, schedule: PlanSchedule) -> PlanDone | PlanWaiting:
    """Run an attempt at a turn as a plan; raises as `PlanRunner.run` does."""
    message = run.message
    plan = OrchestrationPlan(
        message.task_id, message.tenant_id, dict(schedule.calls), deadline_ms=message.metadata.timeout_ms
    )
    outcome = await PlanRunner(executor, None, RESULT_BYTES).run(plan, {}, TurnPlanAttempt(run), schedule)
    assert not isinstance(outcome, PlanUndone)  # noqa: S101 - nothing in a turn is undone
    return outcome


@frozen
class TurnPlanAttempt:
    """What `services.run.PlanAttempt` asks for, of a turn: it keeps the answer, and tells in the turn's own events.

    Args:
        run: the attempt at the turn.
    """

    run: Attempt
    checkpoints: Mapping[str, Any] = field(init=False)
    """The agent's answer, if an earlier attempt has got it."""

    @checkpoints.default
    def _executed(self) -> Mapping[str, Any]:
        executed = self.run.checkpoints.get(EXECUTED)
        return {} if executed is None else {EXECUTED: {"state": CallState.DONE, "result": executed, "nth": 1}}

    @property
    def message(self) -> TaskMessage:
        """The turn."""
        return self.run.message

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped the turn."""
        return self.run.stopped

    @property
    def delegations(self) -> Delegating:
        """Hands calls on."""
        return self.run.delegations

    async def checkpoint(self, name: str, result: Any, progress: PlanProgress | None = None) -> None:
        """Keep the agent's answer; what the turn waits for is kept with what was said until then."""
        if name == EXECUTED:
            await self.run.checkpoint(EXECUTED, result["result"])

    async def tell(self, progress: PlanProgress) -> None:
        """Tell nothing: a turn has events of its own."""
