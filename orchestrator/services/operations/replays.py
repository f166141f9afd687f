"""Doing tasks again."""

from attrs import evolve, frozen

from orchestrator.codec import decode, structure, unstructure
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.replays import changed
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.errors import NotFound, OrchestratorError, PermissionMissing, QueueFull, TaskUnfinished
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.replay import Replayed, ReplayRequest
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.services.operations.enqueue import new_entry_of
from orchestrator.services.shared.views import rate_limited, session_closed, session_not_found, tenant_refuses
from orchestrator.services.tasks.task_kinds import TaskKind, TaskKinds
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.dead_letters import DeadLetterStore, TaskRecord
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.sessions.limits import LimitStore
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.tasks.enqueue import Enqueued, EnqueueStore


@frozen
class ReplayService:
    """Makes new tasks of tasks that have ended; these stay as they are."""

    store: DeadLetterStore
    placement: EnqueueStore
    limits: LimitStore
    ready: ReadyTenants
    audit: AuditTrail
    settings: AgentOrchestratorSettings
    rates: Rates
    kinds: TaskKinds

    async def replay_own(self, ctx: RequestContext, task_id: str, request: ReplayRequest) -> Replayed:
        """Do a task of the caller's tenant again; see `replay`.

        Raises:
            PermissionMissing: the caller is neither operator nor admin.
        """
        if not ctx.principal.sees_whole_tenant:
            raise PermissionMissing("Only operators and admins replay tasks.")
        return await self.replay(ctx, ctx.tenant_id, task_id, request)

    async def replay(self, ctx: RequestContext, tenant_id: str, task_id: str, request: ReplayRequest) -> Replayed:
        """Do a task again: a new task with the same input, on behalf of the same user.

        Raises:
            NotFound: there is no such task, or its session is gone.
            TaskUnfinished: it has not ended.
            InvalidBody: it can't be changed so, or has no such call.
            SessionClosed, TenantDraining, QueueFull, RateLimited
        """
        record = await self.store.record(tenant_id, task_id)
        if record is None:
            raise NotFound(f"There is no task {task_id}.")
        if TaskStatus(record.status) not in FINISHED:
            raise TaskUnfinished(f"Task {task_id} is {record.status}: it can be replayed when it has ended.")
        message = self._message(ctx, record, request)
        kind = self.kinds.named(str(message.type))
        reused = [] if request.from_call is None else kind.reused(record, request.from_call)
        replayed = Replayed(
            replay_of=task_id,
            dry_run=request.dry_run,
            input=message.payload,
            priority=message.priority,
            reused=reused,
            session_id=message.session_id,
        )
        if request.dry_run:
            return replayed
        await self._place(message, kind, task_id, {f"checkpoint:{name}": record.checkpoints[name] for name in reused})
        await self.store.note_replay(tenant_id, task_id, message.task_id)
        await self.audit.done(
            ctx,
            "task.replay",
            f"{task_id} as {message.task_id}; changed: {', '.join(request.changes) or 'nothing'}",
            tenant_id=tenant_id,
        )
        return evolve(replayed, task_id=message.task_id, message_id=message.metadata.message_id)

    def _message(self, ctx: RequestContext, record: TaskRecord, request: ReplayRequest) -> TaskMessage:
        before = decode(record.message, TaskMessage)
        message = structure(changed(unstructure(before), request.changes), TaskMessage)
        message_id = new_id() if message.metadata.message_id else None
        metadata = evolve(
            message.metadata,
            message_id=message_id,
            retry_count=0,
            deduplication_key=None,
            trace_id=ctx.trace.trace_id,
            traceparent=str(ctx.trace),
            request_id=ctx.request_id,
        )
        return self.kinds.named(str(message.type)).complete(
            evolve(
                message,
                message_id=new_id(),
                task_id=new_id(),
                correlation_id=ctx.correlation_id,
                created_at=to_timestamp(now_ms()),
                expires_at=None,
                status=TaskStatus.PENDING,
                metadata=metadata,
            )
        )

    async def _place(self, message: TaskMessage, kind: TaskKind, task_id: str, checkpoints: dict[str, bytes]) -> None:
        tenant_id, user_id, settings = message.tenant_id, message.metadata.user_id, self.settings
        passed, wait_ms = await self.limits.count(tenant_id, user_id, self.rates)
        if not passed:
            raise rate_limited(wait_ms)
        expiry = {"expires_at": now_ms() + round(settings.queue_timeout * 1000)} if settings.queue_timeout else {}
        placed, detail = await self.placement.place(
            new_entry_of(message, kind, {"replay_of": task_id, **expiry, **checkpoints}),
            retain_seconds=int(settings.retain_tasks),
            session_queue_length=settings.session_queue_length,
        )
        if placed is not Enqueued.OK:
            raise _refusal(placed, str(detail), message)
        if detail is True:
            await self.ready.mark(tenant_id)


def _refusal(placed: Enqueued, detail: str, message: TaskMessage) -> OrchestratorError:
    match placed:
        case Enqueued.TENANT:
            return tenant_refuses(detail)
        case Enqueued.UNKNOWN:
            return session_not_found(str(message.session_id))
        case Enqueued.CLOSED:
            return session_closed(str(message.session_id), detail)
        case Enqueued.FULL:
            return QueueFull(f"The queue of the {detail} is full; wait for answers.", retry_after_ms=1000)
    raise AssertionError(f"unexpected verdict {placed}")
