"""Workflows as their owners start, follow, answer and stop them."""

from contextlib import suppress
from typing import Any, Final

import trio
from attrs import asdict, evolve, frozen

from orchestrator.codec import encode
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.errors import (
    NotFound,
    WrongWorkflowState,
)
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.plans.workflow import (
    WorkflowAccepted,
    WorkflowCancelled,
    WorkflowDefinition,
    WorkflowExecute,
    WorkflowInput,
    WorkflowInputTaken,
    WorkflowResults,
    WorkflowStatus,
)
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.shared.views import viewer_of
from orchestrator.services.tasks.tasks import TaskService
from orchestrator.services.workflows.workflow_engine import EngineService
from orchestrator.services.workflows.workflow_intake import AdmittedWorkflow, WorkflowIntake
from orchestrator.services.workflows.workflow_records import (
    STATUS_UPDATE,
    asking_task,
    status_body,
    update_of,
)
from orchestrator.services.workflows.workflow_views import results_of, status_of
from orchestrator.store.events.event_hub import EventHub, HubStopped
from orchestrator.store.events.events import EventLog, TaskLog
from orchestrator.store.plans.workflows import FIGURES, PROGRESS, Note, WorkflowRecord, WorkflowStore
from orchestrator.stored_errors import revive

_ENDS: Final = frozenset({STATUS_UPDATE})


@frozen
class WorkflowService:
    """Starts, shows, answers and stops workflows."""

    store: WorkflowStore
    intake: WorkflowIntake
    engine: EngineService
    tasks: TaskService
    hub: EventHub
    session_log: EventLog
    log: TaskLog
    settings: AgentOrchestratorSettings

    async def execute(self, ctx: RequestContext, request: WorkflowExecute) -> AdmittedWorkflow:
        """Take a workflow into the queue; see `WorkflowIntake.execute`."""
        return await self.intake.execute(ctx, request)

    async def register(
        self,
        ctx: RequestContext,
        workflow_id: str,
        execution_id: str,
        *,
        user_id: str,
        session_id: str | None = None,
        input_: dict[str, Any] | None = None,
    ) -> WorkflowAccepted:
        """Register a run that the Workflow Engine has started by itself; see `WorkflowIntake.register`."""
        return await self.intake.register(
            ctx, workflow_id, execution_id, user_id=user_id, session_id=session_id, input_=input_ or {}
        )

    async def wait(
        self, ctx: RequestContext, accepted: WorkflowAccepted, timeout_ms: int
    ) -> WorkflowResults | WorkflowAccepted:
        """Wait for the end of a workflow that was taken.

        Returns:
            Its results; or what was accepted, if it has not ended in time, or the process stops and others go on.

        Raises:
            OrchestratorError: it failed; the error is the workflow's.
        """
        with trio.move_on_after(timeout_ms / 1000), suppress(HubStopped):
            found = await self._finished(ctx, accepted.task_id)
            if found.task.status is TaskStatus.FAILED and found.task.error is not None:
                raise revive(found.task.error)
            return results_of(found)
        return accepted

    async def list(self, ctx: RequestContext, *, cursor: str | None, limit: int) -> Page[WorkflowDefinition]:
        """List the workflows that the Workflow Engine knows; see `EngineService.definitions`."""
        return await self.engine.definitions(ctx, cursor=cursor, limit=limit)

    async def status(self, ctx: RequestContext, task_id: str) -> WorkflowStatus:
        """Show how a workflow stands.

        Raises:
            NotFound: there is none that the caller may see.
        """
        return status_of(await self._get(ctx, task_id))

    async def results(self, ctx: RequestContext, task_id: str) -> WorkflowResults:
        """Show what a workflow has given so far, or in the end.

        Raises:
            NotFound: there is none that the caller may see.
        """
        return results_of(await self._get(ctx, task_id))

    async def input(
        self, ctx: RequestContext, task_id: str, given: WorkflowInput, *, of_session: str | None = None
    ) -> WorkflowInputTaken:
        """Hand on what the user answered.

        Args:
            ctx: the request.
            task_id: the workflow.
            given: the node, or the engine's own name of the question, and the answer.
            of_session: the session that the workflow must tell; None: whichever.

        Raises:
            NotFound: there is no such workflow.
            WrongWorkflowState: it does not wait for its user at this node.
            ServiceFault: the Workflow Engine is away, or refused the answer.
        """
        workflow = await self._get(ctx, task_id, of_session)
        asked = workflow.progress.input_request
        if workflow.task.status in FINISHED or asked is None or given.node_id not in (asked.node_id, asked.request_id):
            raise WrongWorkflowState(f"The workflow does not wait for its user at {given.node_id!r}.")
        given = evolve(given, node_id=asked.node_id)
        about = {
            "workflow_id": workflow.workflow_id,
            "input_request_id": asked.request_id,
            "session_id": workflow.of_session or None,
        }
        await self.engine.answer(ctx, task_id, given, workflow.progress.execution_id, about)
        update = update_of(
            task_id,
            workflow.workflow_id,
            evolve(workflow.progress, input_request=None, status=None),
            TaskStatus.PROCESSING,
        )
        body = status_body(update, ctx.tenant_id, workflow.task.correlation_id)
        await self.store.take_input(workflow, (STATUS_UPDATE, body))
        return WorkflowInputTaken(task_id, given.node_id)

    async def asking(self, ctx: RequestContext, session_id: str, node_id: str) -> str | None:
        """Return the workflow of a session that has asked last at a node, as far as the session's log knows."""
        kept = self.settings.event_log_length
        offset, _ = await self.session_log.head(ctx.tenant_id, session_id)
        after = max(0, offset - kept)
        events = await self.session_log.read(ctx.tenant_id, session_id, after=after, limit=kept, sound_only=True)
        asking = (asking_task(event, node_id) for event in reversed(events))
        return next((task_id for task_id in asking if task_id is not None), None)

    async def cancel(
        self,
        ctx: RequestContext,
        task_id: str,
        *,
        reason: str | None = None,
        of_session: str | None = None,
        quietly: bool = False,
    ) -> WorkflowCancelled:
        """Stop a workflow; one that has ended stays as it is.

        Args:
            ctx: the request.
            task_id: the workflow.
            reason: why, as it is told.
            of_session: the session that the workflow must tell; None: whichever.
            quietly: whether its session hears nothing of it any more.

        Raises:
            NotFound: there is none that the caller may see.
        """
        workflow = await self._get(ctx, task_id, of_session)
        noted: dict[str, bytes] = {}
        if reason is not None:
            kept = {name: value for name, value in asdict(workflow.progress).items() if value is not None}
            noted[FIGURES if FIGURES in workflow.fields else PROGRESS] = encode({**kept, "message": reason})
        if quietly and "of_session" in workflow.fields:
            noted["of_session"] = b""
        if noted and workflow.task.status not in FINISHED:
            await self.store.tell(ctx.tenant_id, task_id, Note(noted))
        cancelled = await self.tasks.cancel(ctx, task_id)
        return WorkflowCancelled(task_id, cancelled.cancelled)

    async def _finished(self, ctx: RequestContext, task_id: str) -> WorkflowRecord:
        async with self.hub.follow(ctx.tenant_id, task_id, log=self.log) as follower:
            while True:
                # The record is asked after following has begun, so an end in between is not missed.
                workflow = await self._get(ctx, task_id)
                if workflow.task.status in FINISHED:
                    return workflow
                await follower.until(_ENDS)

    async def _get(self, ctx: RequestContext, task_id: str, of_session: str | None = None) -> WorkflowRecord:
        workflow = await self.store.get(viewer_of(ctx), task_id)
        if workflow is None or (of_session is not None and workflow.of_session != of_session):
            raise NotFound(f"There is no workflow {task_id}.")
        return workflow
