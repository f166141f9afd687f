"""Steps of workflows as tasks: an agent or a tool, with what earlier steps of the run have given."""

from typing import Any, Final

import structlog
import trio
from attrs import evolve, frozen

from orchestrator.clients.registry import Clients
from orchestrator.codec import decode_kept, encode, unstructure
from orchestrator.errors import OrchestratorError, ServiceRefused
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.plans.orchestration import MEDIUM, ServiceCall
from orchestrator.models.plans.workflow import StepResult, StepStatus
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.queue.tasks.plain_tasks import PlainAttempt, PlainTasks
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Partial, TurnDone, TurnRunner
from orchestrator.services.shared.call_contexts import call_of
from orchestrator.services.workflows.queued_steps import STEP, StepInput, may_be_left_out, resolve_input, tries
from orchestrator.services.workflows.step_attempt import StepAttempt
from orchestrator.services.workflows.step_results import KEPT, fitting, room_of, too_large
from orchestrator.store.plans.workflows import WorkflowRecord, WorkflowStore

TOOL: Final = ServiceCall("tool_registry", "execute", MEDIUM)
_log = structlog.get_logger("orchestrator.queue.tasks.queued_steps")


@frozen
class QueuedSteps:
    """What a step consists of.

    Args:
        workflows: where the runs are, and the results of their steps.
        clients: the services.
        coordinator: how they are called.
        agents: runs agents outside of conversations.
    """

    workflows: WorkflowStore
    clients: Clients
    coordinator: ServiceCoordinator
    agents: TurnRunner

    async def __call__(self, run: PlainAttempt) -> Any:
        """Run a step, and keep its result with the run that it is of.

        Raises:
            OrchestratorError: it failed, and the workflow does not go on without it.
        """
        payload = run.message.payload
        workflow = await self._workflow(run.message)
        told = resolve_input(payload["input"], _results(workflow), _input(workflow))
        if told.unresolved:
            _log.info("step.unresolved", task_id=run.message.task_id, inputs=told.unresolved)
        result = await self._result(run, told, workflow)
        return {**unstructure(result), "unresolved": told.unresolved}

    async def _result(self, run: PlainAttempt, told: StepInput, workflow: WorkflowRecord | None) -> StepResult:
        if workflow is None:
            return await self._tried(run, told)
        if room_of(workflow) <= 0:
            return too_large()
        result = fitting(await self._tried(run, told), workflow)
        name = f"step:{run.message.payload['step_id']}"
        kept = await self.workflows.keep_step(run.message.tenant_id, workflow.task.task_id, name, encode(result))
        return result if kept is None else decode_kept(kept, StepResult)

    async def _tried(self, run: PlainAttempt, told: StepInput) -> StepResult:
        on_failure, left = run.message.payload["on_failure"], tries(run.message.payload["on_failure"])
        while True:
            left -= 1
            try:
                return await self._run(run, told)
            except OrchestratorError as error:
                if left:
                    continue
                if not may_be_left_out(on_failure):
                    raise
                said = "; ".join(fault.message for fault in error.details)
                return StepResult(StepStatus.ERROR, error_message=f"{error.message} {said}".strip())

    async def _run(self, run: PlainAttempt, told: StepInput) -> StepResult:
        payload, message = run.message.payload, run.message
        if payload.get("agent_id") is None:
            return await self._tool(run, payload["tool_id"], told.values)
        left_ms = max(1, round((run.deadline - trio.current_time()) * 1000))
        question = evolve(
            message,
            payload={**payload, "content": told.question},
            metadata=evolve(message.metadata, timeout_ms=left_ms),
            session_id=None,
        )
        done = await self.agents.run(StepAttempt(question, payload["agent_id"], within=run), Partial())
        if isinstance(done, TurnDone):
            return StepResult(StepStatus.SUCCESS, done.answer.content)
        raise ServiceRefused("The agent answers later, and a step can't wait for that.", service="agent_execution")

    async def _tool(self, run: PlainAttempt, tool_id: str, parameters: dict[str, Any]) -> StepResult:
        call = call_of(run.message, run.deadline).keyed(f"{run.message.task_id}:step").to("tool", tool_id)

        async def execute(limited: Any) -> ToolOutcome:
            return await self.clients.tool_registry.execute(limited, tool_id, parameters)

        outcome = await self.coordinator.run(TOOL, call, execute)
        if outcome.status is ToolStatus.SUCCESS:
            return StepResult(StepStatus.SUCCESS, outcome.data)
        raise ServiceRefused(outcome.error_message or "The tool failed.", service="tool_registry")

    async def _workflow(self, message: TaskMessage) -> WorkflowRecord | None:
        """Return the run that a step is of; None where it is not known here, or another user's."""
        named = message.payload.get("workflow")
        workflow = await self.workflows.load(message.tenant_id, named) if named is not None else None
        if workflow is None or workflow.task.user_id != message.metadata.user_id:
            return None
        return workflow


def _results(workflow: WorkflowRecord | None) -> dict[str, Any]:
    fields = workflow.fields if workflow is not None else {}
    kept = {
        name.removeprefix(KEPT): decode_kept(value, StepResult)
        for name, value in fields.items()
        if name.startswith(KEPT)
    }
    return {name: one.result for name, one in kept.items() if one.status is StepStatus.SUCCESS}


def _input(workflow: WorkflowRecord | None) -> dict[str, Any]:
    if workflow is None:
        return {}
    given = decode_kept(workflow.fields["message"], TaskMessage).payload.get("input")
    return given if isinstance(given, dict) else {}


def _handler(deps: TaskDeps) -> PlainTasks:
    core = deps.core
    work = QueuedSteps(core.stores.workflows, core.clients, core.coordinator, core.questions)
    return PlainTasks(deps.queue, core.stores.plain_tasks, work)


queued_step: Final = RunnableKind(STEP, _handler)
