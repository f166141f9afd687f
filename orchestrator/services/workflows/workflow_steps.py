"""Steps that the Workflow Engine asks for: an agent or a tool, run on behalf of a workflow that it runs."""

import re
from typing import Any, Final

import structlog
import trio
from attrs import evolve, frozen

from orchestrator.clients.registry import Clients
from orchestrator.codec import decode_kept, encode
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.errors import (
    InvalidBody,
    NotFound,
    OrchestratorError,
    PermissionMissing,
    PlanTimeout,
    WrongWorkflowState,
)
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.plans.orchestration import MEDIUM, ServiceCall
from orchestrator.models.plans.workflow import StepResult, StepStatus, StepType, WorkflowStep
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Partial, TurnDone, TurnRunner
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.workflows.step_attempt import StepAttempt
from orchestrator.services.workflows.step_results import fitting, room_of, too_large
from orchestrator.services.workflows.workflow_engine import ENGINE
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.plans.workflows import WorkflowRecord, WorkflowStore

TOOL: Final = ServiceCall("tool_registry", "execute", MEDIUM)
_LIKE_A_VISIT: Final = re.compile(r":\d+\Z")
_log = structlog.get_logger("orchestrator.services.workflows.workflow_steps")


@frozen
class StepService:
    """Runs steps; the first result of a step is the one that every request for it gets.

    Args:
        store: where workflows and the results of their steps are.
        delegations: knows whom tokens were given to.
        clients: the services.
        coordinator: how they are called.
        agents: runs agents outside of conversations.
        settings: how long a step may take.
    """

    store: WorkflowStore
    delegations: DelegationStore
    clients: Clients
    coordinator: ServiceCoordinator
    agents: TurnRunner
    settings: AgentOrchestratorSettings

    async def run(self, ctx: RequestContext, step: WorkflowStep, token: str | None) -> StepResult:
        """Run a step, unless it was run already.

        Args:
            ctx: the request; its tenant must be the workflow's.
            step: what is to be run.
            token: the callback token that the engine was given with the workflow.

        Raises:
            InvalidBody: what the step's type needs is missing.
            NotFound: the tenant has no such workflow.
            PermissionMissing: the token is none of the workflow's.
            WrongWorkflowState: the workflow has ended.
        """
        _check(step)
        if not token or await self.delegations.service_of(ctx.tenant_id, step.task_id, token) != ENGINE:
            await self._must_be_there(ctx, step)
            raise PermissionMissing("The callback token is none of this workflow's.")
        return await self.run_known(ctx, step)

    async def run_known(self, ctx: RequestContext, step: WorkflowStep) -> StepResult:
        """Run a step for a service that has shown who it is; raises as `run` does."""
        _check(step)
        workflow = await self._workflow(ctx, step)
        name = _name(step)
        kept = workflow.fields.get(f"checkpoint:{name}")
        if kept is not None:
            return decode_kept(kept, StepResult)
        if room_of(workflow) <= 0:
            return too_large()
        result = fitting(await self._run(step, name, workflow), workflow)
        counted = await self.store.keep_step(ctx.tenant_id, step.task_id, name, encode(result))
        if counted is None:
            raise _ended(step.task_id)
        return decode_kept(counted, StepResult)

    async def _must_be_there(self, ctx: RequestContext, step: WorkflowStep) -> WorkflowRecord:
        workflow = await self.store.load(ctx.tenant_id, step.task_id)
        if workflow is None:
            raise NotFound(f"There is no workflow {step.task_id}.")
        return workflow

    async def _workflow(self, ctx: RequestContext, step: WorkflowStep) -> WorkflowRecord:
        workflow = await self._must_be_there(ctx, step)
        if workflow.task.status in FINISHED:
            raise _ended(step.task_id)
        return workflow

    async def _run(self, step: WorkflowStep, name: str, workflow: WorkflowRecord) -> StepResult:
        message = decode_kept(workflow.fields["message"], TaskMessage)
        seconds = await self._seconds_left(message, workflow.task.started_at)
        deadline = trio.current_time() + seconds
        try:
            if seconds <= 0:
                raise PlanTimeout("The time of the workflow is over.")
            with trio.CancelScope(deadline=deadline) as scope:
                result = await (
                    self._agent(step, name, message, seconds)
                    if step.type is StepType.AGENT
                    else self._tool(step, name, message, deadline)
                )
            if scope.cancelled_caught:
                raise PlanTimeout(f"The step was not finished within {round(seconds * 1000)} ms.")
        except OrchestratorError as error:
            _log.info("step.failed", task_id=step.task_id, step_id=step.step_id, code=error.code)
            said = "; ".join(fault.message for fault in error.details)
            return StepResult(StepStatus.ERROR, error_message=f"{error.message} {said}".strip())
        return result

    async def _seconds_left(self, message: TaskMessage, started_at: str | None) -> float:
        """Return how long a step may take: as a turn, and not beyond the workflow's time."""
        ends_ms = from_timestamp(started_at or message.created_at) + message.metadata.timeout_ms
        return min(self.settings.turn_timeout, (ends_ms - await self.store.now_ms()) / 1000)

    async def _tool(self, step: WorkflowStep, name: str, message: TaskMessage, deadline: float) -> StepResult:
        call = call_of(message, deadline).keyed(f"{message.task_id}:{name}").to("tool", str(step.tool_id))

        async def execute(limited: Any) -> ToolOutcome:
            return await self.clients.tool_registry.execute(limited, str(step.tool_id), step.parameters)

        outcome = await self.coordinator.run(TOOL, call, execute)
        if outcome.status is ToolStatus.SUCCESS:
            return StepResult(StepStatus.SUCCESS, outcome.data)
        return StepResult(StepStatus.ERROR, error_message=outcome.error_message or "The tool failed.")

    async def _agent(self, step: WorkflowStep, name: str, message: TaskMessage, seconds: float) -> StepResult:
        run = StepAttempt(_asking(step, name, message, seconds), str(step.agent_id))
        done = await self.agents.run(run, Partial())
        if isinstance(done, TurnDone):
            return StepResult(StepStatus.SUCCESS, done.answer.content)
        return StepResult(StepStatus.ERROR, error_message="The agent answers later, and a step can't wait for that.")


def _asking(step: WorkflowStep, name: str, message: TaskMessage, seconds: float) -> TaskMessage:
    """Return the question to the agent, as the message of a turn."""
    payload = {"message_id": message.task_id, "content": step.query, "agent_id": step.agent_id}
    metadata = evolve(message.metadata, timeout_ms=max(1, round(seconds * 1000)))
    return evolve(message, payload=payload, metadata=metadata, session_id=None)


def _name(step: WorkflowStep) -> str:
    """Return the name of a step's checkpoint; no other step or visit has it."""
    # The visit is left out where it is the first, unless the id itself ends like one.
    if step.visit == 1 and not _LIKE_A_VISIT.search(step.step_id):
        return f"step:{step.step_id}"
    return f"step:{step.step_id}:{step.visit}"


def _check(step: WorkflowStep) -> None:
    needed = ("agent_id", "query") if step.type is StepType.AGENT else ("tool_id",)
    missing = [name for name in needed if getattr(step, name) is None]
    if missing:
        faults = [FieldFault(f"$.data.{name}", "required field is missing") for name in missing]
        raise InvalidBody(f"{faults[0].path} is missing: the step is one of type {step.type}.", details=faults)


def _ended(task_id: str) -> WrongWorkflowState:
    return WrongWorkflowState(f"The workflow {task_id} has ended: its steps are no longer run.")
