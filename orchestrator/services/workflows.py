"""Workflows as their owners start, follow, answer and stop them."""

import hashlib
from contextlib import suppress
from typing import Any, Final

import trio
from attrs import asdict, evolve, frozen

from orchestrator.clients.addresses import AddressGuard
from orchestrator.codec import decode, encode, parse_json, unstructure
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain import plans
from orchestrator.domain.session_states import CLOSED
from orchestrator.domain.task_states import FINISHED, lane_of
from orchestrator.errors import (
    InvalidBody,
    NotFound,
    OrchestratorError,
    QueueFull,
    Unprocessable,
    WrongWorkflowState,
    revive,
)
from orchestrator.models.envelope import FieldFault
from orchestrator.models.events import Event
from orchestrator.models.ids import new_id
from orchestrator.models.limits import RateState
from orchestrator.models.page import Page
from orchestrator.models.principal import RequestContext
from orchestrator.models.task import TaskMessage, TaskMetadata, TaskStatus
from orchestrator.models.timestamps import from_timestamp, now_ms, to_timestamp
from orchestrator.models.workflow import (
    PRIORITY,
    WorkflowAccepted,
    WorkflowCancelled,
    WorkflowDefinition,
    WorkflowExecute,
    WorkflowInput,
    WorkflowInputTaken,
    WorkflowMode,
    WorkflowResults,
    WorkflowStatus,
)
from orchestrator.services.callbacks import callback_task, check_callback
from orchestrator.services.session_manager import SessionManager
from orchestrator.services.tasks import TaskService
from orchestrator.services.views import key_reused, rate_limited, rate_state, session_closed, tenant_refuses, viewer_of
from orchestrator.services.workflow_engine import EngineService
from orchestrator.services.workflow_records import (
    INPUT_REQUEST,
    STATUS_UPDATE,
    WORKFLOW,
    begun,
    status_body,
    update_of,
    workflow_record,
)
from orchestrator.services.workflow_views import results_of, status_of
from orchestrator.store.admission import Admission, Verdict
from orchestrator.store.due import DueTenants
from orchestrator.store.events import EventLog, TaskLog
from orchestrator.store.generic_tasks import GenericTaskStore, KnownTenants, Repeat, TaskBounds
from orchestrator.store.pump import EventPump, PumpStopped
from orchestrator.store.ready import ReadyTenants
from orchestrator.store.sessions import Rates
from orchestrator.store.workflows import FIGURES, PROGRESS, Note, WorkflowRecord, WorkflowStore

_ENDS: Final = frozenset({STATUS_UPDATE})


@frozen
class AdmittedWorkflow:
    """A workflow that was taken."""

    accepted: WorkflowAccepted
    replayed: bool
    """Whether an earlier request with the same idempotency key had brought it."""
    rate: RateState | None


@frozen
class WorkflowQueue:
    """Where workflows are taken in, and who is told of them."""

    admission: GenericTaskStore
    known: KnownTenants
    ready: ReadyTenants
    due: DueTenants


@frozen
class WorkflowService:
    """Starts, shows, answers and stops workflows."""

    store: WorkflowStore
    queue: WorkflowQueue
    engine: EngineService
    tasks: TaskService
    sessions: SessionManager
    pump: EventPump
    session_log: EventLog
    log: TaskLog
    settings: AgentOrchestratorSettings
    rates: Rates

    async def execute(self, ctx: RequestContext, request: WorkflowExecute) -> AdmittedWorkflow:
        """Take a workflow into the queue.

        Raises:
            InvalidBody: it names neither workflow nor plan, or both; or nothing may be sent to the callback's URL.
            Unprocessable: the plan has faults, all of which are told; or `scheduled_for` is past, or too far ahead.
            NotFound: there is no such workflow, or no such session.
            SessionClosed, QueueFull, RateLimited, TenantDraining, IdempotencyKeyReused
        """
        await self._check(ctx, request)
        message = self._message(ctx, request)
        scheduled_ms = None if request.scheduled_for is None else from_timestamp(request.scheduled_for)
        start = begun(message)
        accepted = WorkflowAccepted(
            message.task_id,
            start.workflow_id,
            session_id=request.session_id,
            scheduled_for=None if scheduled_ms is None else to_timestamp(scheduled_ms),
        )
        key = ctx.idempotency_key or ctx.message_id
        await self.queue.known.note(ctx.tenant_id)
        admission = await self.queue.admission.admit(
            message,
            lane=lane_of(message.priority),
            event=(STATUS_UPDATE, status_body(start, ctx.tenant_id, ctx.correlation_id)),
            bounds=TaskBounds(
                self.settings.queue_length,
                int(self.settings.retain_tasks),
                round(self.settings.queue_timeout * 1000),
            ),
            rates=self.rates,
            repeat=Repeat(key, _digest(request)) if key else None,
            answer=encode(accepted),
            scheduled_ms=scheduled_ms,
            record={**workflow_record(message), **_callback_record(ctx, message, request)},
        )
        if admission.verdict is Verdict.REPLAYED:
            return AdmittedWorkflow(decode(admission.detail, WorkflowAccepted), replayed=True, rate=None)
        if admission.verdict is not Verdict.OK:
            raise _refusal(admission)
        if scheduled_ms is not None:
            await self.queue.due.mark(ctx.tenant_id, scheduled_ms)
        else:
            await self.queue.ready.mark(ctx.tenant_id)
        return AdmittedWorkflow(accepted, replayed=False, rate=rate_state(self.rates, admission.wait_ms))

    async def wait(
        self, ctx: RequestContext, accepted: WorkflowAccepted, timeout_ms: int
    ) -> WorkflowResults | WorkflowAccepted:
        """Wait for the end of a workflow that was taken.

        Returns:
            Its results; or what was accepted, if it has not ended in time, or the process stops and others go on.

        Raises:
            OrchestratorError: it failed; the error is the workflow's.
        """
        with trio.move_on_after(timeout_ms / 1000), suppress(PumpStopped):
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
            given: the node, and the answer.
            of_session: the session that the workflow must tell; None: whichever.

        Raises:
            NotFound: there is no such workflow.
            WrongWorkflowState: it does not wait for its user at this node.
            ServiceFault: the Workflow Engine is away, or refused the answer.
        """
        workflow = await self._get(ctx, task_id, of_session)
        asked = workflow.progress.input_request
        if workflow.task.status in FINISHED or asked is None or asked.node_id != given.node_id:
            raise WrongWorkflowState(f"The workflow does not wait for its user at {given.node_id!r}.")
        await self.engine.answer(ctx, task_id, given, workflow.progress.execution_id)
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
        events = await self.session_log.read(ctx.tenant_id, session_id, after=max(0, offset - kept), limit=kept)
        return next((task_id for task_id in map(_asker(node_id), reversed(events)) if task_id is not None), None)

    async def cancel(
        self, ctx: RequestContext, task_id: str, *, reason: str | None = None, of_session: str | None = None
    ) -> WorkflowCancelled:
        """Stop a workflow; one that has ended stays as it is.

        Raises:
            NotFound: there is none that the caller may see.
        """
        workflow = await self._get(ctx, task_id, of_session)
        if reason is not None and workflow.task.status not in FINISHED:
            kept = {name: value for name, value in asdict(workflow.progress).items() if value is not None}
            name = FIGURES if FIGURES in workflow.fields else PROGRESS
            await self.store.tell(ctx.tenant_id, task_id, Note({name: encode({**kept, "message": reason})}))
        cancelled = await self.tasks.cancel(ctx, task_id)
        return WorkflowCancelled(task_id, cancelled.cancelled)

    async def _check(self, ctx: RequestContext, request: WorkflowExecute) -> None:
        if (request.workflow_id is None) == (request.plan is None):
            fault = FieldFault("$.data", "must have either 'workflow_id' or 'plan'")
            raise InvalidBody(f"The request {fault.message}.", details=[fault])
        if request.scheduled_for is not None and request.mode is not WorkflowMode.ASYNC:
            fault = FieldFault("$.data.mode", "must be 'async' where the workflow is scheduled")
            raise Unprocessable("Nobody can wait here for a workflow that is scheduled.", details=[fault])
        if request.callback is not None:
            check_callback(request.callback.url, AddressGuard(self.settings.callback_allow))
        if request.plan is not None:
            plans.check(request.plan.plan("plan", ctx.tenant_id))
        if request.session_id is not None:
            session = await self.sessions.get(ctx, request.session_id)
            if session.state in CLOSED:
                raise session_closed(request.session_id, session.state)
        if request.workflow_id is not None:
            await self.engine.must_exist(ctx, request.workflow_id)

    def _message(self, ctx: RequestContext, request: WorkflowExecute) -> TaskMessage:
        task_id = new_id()
        payload: dict[str, Any] = {"input": request.input, "metadata": request.metadata}
        timeout_ms = round(self.settings.workflow_timeout * 1000)
        if request.plan is None:
            payload |= {"workflow_id": request.workflow_id}
        else:
            payload |= {"plan": unstructure(request.plan)}
            timeout_ms = request.plan.deadline_ms
        priority = request.priority if request.priority is not None else ctx.priority
        return TaskMessage(
            message_id=task_id,
            task_id=task_id,
            tenant_id=ctx.tenant_id,
            correlation_id=ctx.correlation_id,
            created_at=to_timestamp(now_ms()),
            type=WORKFLOW,
            metadata=TaskMetadata(
                user_id=ctx.principal.user_id,
                timeout_ms=timeout_ms,
                trace_id=ctx.trace.trace_id,
                traceparent=str(ctx.trace),
                request_id=ctx.request_id,
            ),
            payload=payload,
            session_id=request.session_id,
            priority=PRIORITY if priority is None else priority,
        )

    async def _finished(self, ctx: RequestContext, task_id: str) -> WorkflowRecord:
        async with self.pump.follow(ctx.tenant_id, task_id, log=self.log) as follower:
            while True:
                # The record is asked after following has begun, so an end in between is not missed.
                workflow = await self._get(ctx, task_id)
                if workflow.task.status in FINISHED:
                    return workflow
                while not any(event.name in _ENDS for event in await follower.receive()):
                    pass

    async def _get(self, ctx: RequestContext, task_id: str, of_session: str | None = None) -> WorkflowRecord:
        workflow = await self.store.get(viewer_of(ctx), task_id)
        if workflow is None or (of_session is not None and workflow.fields.get("of_session") != of_session.encode()):
            raise NotFound(f"There is no workflow {task_id}.")
        return workflow


def _callback_record(
    ctx: RequestContext, message: TaskMessage, request: WorkflowExecute
) -> dict[str, str | bytes | int]:
    callback = request.callback
    if callback is None:
        return {}
    task = callback_task(ctx, {"task_id": message.task_id, "url": callback.url})
    ends = [event.value.partition(".")[2] for event in callback.events]
    return {
        "callback_url": callback.url,
        "callback_ends": f",{','.join(ends)},",
        "callback_task": task.task_id,
        "callback_message": encode(task),
        "callback_priority": task.priority,
    }


def _digest(request: WorkflowExecute) -> str:
    """Return what makes a request the same as another: how it is answered does not."""
    same = evolve(request, mode=WorkflowMode.ASYNC, timeout_ms=1)
    return hashlib.sha256(b"workflow.execute" + encode(same)).hexdigest()


def _asker(node_id: str) -> Any:
    def task_of(event: Event) -> str | None:
        if event.name != INPUT_REQUEST:
            return None
        data = parse_json(event.body)["data"]
        return str(data["task_id"]) if data["node_id"] == node_id else None

    return task_of


def _refusal(admission: Admission) -> OrchestratorError:
    match admission.verdict:
        case Verdict.REUSED:
            return key_reused()
        case Verdict.TENANT:
            return tenant_refuses(admission.detail)
        case Verdict.RATE:
            return rate_limited(admission.wait_ms)
        case Verdict.FULL:
            return QueueFull("The queue of the tenant is full; wait for answers.", retry_after_ms=1000)
        case Verdict.MOMENT:
            reason = "must be in the future, and within a year"
            fault = FieldFault("$.data.scheduled_for", reason)
            return Unprocessable(f"The moment of the workflow {reason}.", details=[fault])
    raise AssertionError(f"unexpected verdict {admission.verdict}")
