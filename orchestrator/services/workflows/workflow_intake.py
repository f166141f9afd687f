"""Taking workflows in: what was sent is checked as a whole, and one script decides."""

import hashlib
from typing import Any, Final

from attrs import evolve, frozen

from orchestrator.clients.registry import OPERATIONS
from orchestrator.clients.transport.addresses import AddressGuard
from orchestrator.codec import decode_kept, encode, unstructure
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain import permissions
from orchestrator.domain.plans import plans
from orchestrator.domain.session_states import CLOSED
from orchestrator.domain.tasks.task_states import lane_of
from orchestrator.errors import (
    InvalidBody,
    OrchestratorError,
    PermissionMissing,
    Unprocessable,
)
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.principal import RequestContext, Role
from orchestrator.models.common.timestamps import from_timestamp, to_timestamp
from orchestrator.models.plans.orchestration import OrchestrationPlan
from orchestrator.models.plans.workflow import (
    WorkflowAccepted,
    WorkflowExecute,
    WorkflowMode,
)
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.idempotency import without_unsaid
from orchestrator.services.shared.views import admission_refused, rate_state, session_closed
from orchestrator.services.tasks.callbacks import callback_task, check_callback
from orchestrator.services.tasks.new_tasks import new_task
from orchestrator.services.workflows.workflow_engine import EngineService
from orchestrator.services.workflows.workflow_records import (
    STATUS_UPDATE,
    begun,
    status_body,
    workflow_record,
)
from orchestrator.services.workflows.workflow_task import WORKFLOW
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.tasks.admission import Admission, Verdict
from orchestrator.store.tasks.plain_tasks import KnownTenants, PlainTaskStore, Repeat, TaskBounds
from orchestrator.telemetry.tracing.work import admits, name_task

_ADDED: Final = frozenset({"context"})
"""Fields of requests that earlier versions did not know."""


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

    admission: PlainTaskStore
    known: KnownTenants
    ready: ReadyTenants
    due: DueTenants
    delegations: DelegationStore


@frozen
class WorkflowIntake:
    """Takes workflows in."""

    queue: WorkflowQueue
    engine: EngineService
    sessions: SessionManager
    settings: AgentOrchestratorSettings
    rates: Rates

    @admits
    async def execute(self, ctx: RequestContext, request: WorkflowExecute) -> AdmittedWorkflow:
        """Take a workflow into the queue.

        Raises:
            InvalidBody: it names neither workflow nor plan, or both; or nothing may be sent to the callback's URL.
            Unprocessable: the plan has faults, all of which are told; or `scheduled_for` is past, or too far ahead.
            NotFound: there is no such workflow, or no such session.
            PermissionMissing: the plan does what the caller may not do.
            SessionClosed, QueueFull, RateLimited, TenantDraining, IdempotencyKeyReused
        """
        session = await self._check(ctx, request)
        message = self._message(ctx, request, session)
        name_task(message.task_id, str(message.type), message.session_id)
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
            bounds=TaskBounds(int(self.settings.retain_tasks), round(self.settings.queue_timeout * 1000)),
            rates=self.rates,
            repeat=Repeat(key, _digest(request)) if key else None,
            answer=encode(accepted),
            scheduled_ms=scheduled_ms,
            record={**workflow_record(message), **_callback_record(ctx, message, request)},
        )
        if admission.verdict is Verdict.REPLAYED:
            return AdmittedWorkflow(decode_kept(admission.detail, WorkflowAccepted), replayed=True, rate=None)
        if admission.verdict is not Verdict.OK:
            raise _refusal(admission)
        if scheduled_ms is not None:
            await self.queue.due.mark(ctx.tenant_id, scheduled_ms)
        else:
            await self.queue.ready.mark(ctx.tenant_id)
        return AdmittedWorkflow(accepted, replayed=False, rate=rate_state(self.rates, admission))

    @admits
    async def register(
        self,
        ctx: RequestContext,
        workflow_id: str,
        execution_id: str,
        *,
        user_id: str,
        session_id: str | None,
        input_: dict[str, Any],
    ) -> WorkflowAccepted:
        """Make a task of a run that the Workflow Engine has started by itself; the same run is registered once.

        Args:
            ctx: the service that tells of it.
            workflow_id: the definition.
            execution_id: the run, as the engine calls it.
            user_id: whose it is.
            session_id: a session of that user's that is told, too.
            input_: what it works on.

        Raises:
            NotFound: there is no such session of the user's.
            QueueFull, TenantDraining
        """
        if session_id is not None:
            owner = evolve(
                ctx, principal=evolve(ctx.principal, user_id=user_id, role=Role.USER, permissions=frozenset())
            )
            await self.sessions.get(owner, session_id)
        payload = {"workflow_id": workflow_id, "input": input_, "execution_id": execution_id}
        timeout_ms = round(self.settings.workflow_timeout * 1000)
        message = new_task(ctx, WORKFLOW, payload, timeout_ms=timeout_ms, session_id=session_id)
        message = evolve(message, metadata=evolve(message.metadata, user_id=user_id))
        name_task(message.task_id, str(message.type), message.session_id)
        start = begun(message)
        accepted = WorkflowAccepted(message.task_id, start.workflow_id, session_id=session_id)
        await self.queue.known.note(ctx.tenant_id)
        admission = await self.queue.admission.admit(
            message,
            lane=lane_of(message.priority),
            event=(STATUS_UPDATE, status_body(start, ctx.tenant_id, ctx.correlation_id)),
            bounds=TaskBounds(int(self.settings.retain_tasks)),
            repeat=Repeat(f"execution:{execution_id}", hashlib.sha256(encode(payload)).hexdigest()),
            answer=encode(accepted),
            record=workflow_record(message),
        )
        if admission.verdict is Verdict.REPLAYED:
            return decode_kept(admission.detail, WorkflowAccepted)
        if admission.verdict is not Verdict.OK:
            raise _refusal(admission)
        await self.queue.delegations.name_execution(ctx.tenant_id, execution_id, message.task_id)
        await self.queue.ready.mark(ctx.tenant_id)
        return accepted

    async def _check(self, ctx: RequestContext, request: WorkflowExecute) -> Session | None:
        """Refuse what can't be run; returns the session that it is for."""
        if (request.workflow_id is None) == (request.plan is None):
            fault = FieldFault("$.data", "must have either 'workflow_id' or 'plan'")
            raise InvalidBody(f"The request {fault.message}.", details=[fault])
        if request.context is not None and request.plan is not None:
            fault = FieldFault("$.data.context", "goes with 'workflow_id' alone")
            raise InvalidBody(f"{fault.path} {fault.message}.", details=[fault])
        if request.scheduled_for is not None and request.mode is not WorkflowMode.ASYNC:
            fault = FieldFault("$.data.mode", "must be 'async' where the workflow is scheduled")
            raise Unprocessable("A request can't wait for a workflow that is scheduled.", details=[fault])
        if request.callback is not None:
            check_callback(request.callback.url, AddressGuard(self.settings.callback_allow))
        if request.plan is not None:
            plan = request.plan.plan("plan", ctx.tenant_id)
            plans.check(plan, OPERATIONS)
            _check_permissions(ctx, plan)
        session = None
        if request.session_id is not None:
            session = await self.sessions.get(ctx, request.session_id)
            if session.state in CLOSED:
                raise session_closed(request.session_id, session.state)
        if request.workflow_id is not None:
            await self.engine.must_exist(ctx, request.workflow_id)
        return session

    def _message(self, ctx: RequestContext, request: WorkflowExecute, session: Session | None) -> TaskMessage:
        payload: dict[str, Any] = {"input": request.input, "metadata": request.metadata}
        timeout_ms = round(self.settings.workflow_timeout * 1000)
        if request.plan is None:
            payload |= {"workflow_id": request.workflow_id}
            payload |= {} if request.context is None else {"context": request.context}
        else:
            payload |= {"plan": unstructure(request.plan)}
            timeout_ms = request.plan.deadline_ms
        if session is not None:
            payload["agent_id"] = session.agent_id
        message = new_task(
            ctx,
            WORKFLOW,
            payload,
            priority=request.priority if request.priority is not None else ctx.priority,
            timeout_ms=timeout_ms,
            session_id=request.session_id,
        )
        if session is None:
            return message
        return evolve(message, conversation_id=session.conversation_id or session.session_id)


def _check_permissions(ctx: RequestContext, plan: OrchestrationPlan) -> None:
    """Refuse a plan that does for its user what the user may not do."""
    faults = [
        FieldFault(f"$.data.plan.{place}", f"takes the permission '{permission}'")
        for place, permission in permissions.needed_by(plan, OPERATIONS)
        if not ctx.principal.may(permission)
    ]
    if faults:
        raise PermissionMissing(
            f"The token can't have the plan run: {faults[0].path} {faults[0].message}.", details=faults
        )


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
        "callback_type": str(task.type),
    }


def _digest(request: WorkflowExecute) -> str:
    """Return what makes a request the same as another: how it is answered does not."""
    same = evolve(request, mode=WorkflowMode.ASYNC, timeout_ms=1)
    return hashlib.sha256(b"workflow.execute" + encode(without_unsaid(same, _ADDED))).hexdigest()


def _refusal(admission: Admission) -> OrchestratorError:
    if admission.verdict is Verdict.MOMENT:
        reason = "must be in the future, and within a year"
        fault = FieldFault("$.data.scheduled_for", reason)
        return Unprocessable(f"The moment of the workflow {reason}.", details=[fault])
    return admission_refused(admission)
