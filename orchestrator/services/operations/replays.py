"""Doing tasks again."""

import hashlib

from attrs import evolve, frozen

from orchestrator.codec import decode_kept, encode, structure, unstructure
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.replays import changed
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.errors import NotFound, OrchestratorError, PermissionMissing, TaskUnfinished
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.replay import Replayed, ReplayRequest
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.services.operations.enqueue import new_entry_of
from orchestrator.services.shared.idempotency import Idempotency
from orchestrator.services.shared.traces import STATE, current_trace
from orchestrator.services.shared.views import (
    quota_reached,
    rate_limited,
    session_closed,
    session_not_found,
    tenant_refuses,
)
from orchestrator.services.tasks.task_kinds import TaskKind, TaskKinds
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.dead_letters import DeadLetterStore, TaskRecord
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.sessions.limits import LimitStore
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.tasks.enqueue import Enqueued, EnqueueStore, ReplayMark
from orchestrator.telemetry.tracing.work import admits, name_task


class ReplayedMeanwhile(Exception):
    """Another task has replayed the same one; `args` names it."""


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
    repeats: Idempotency

    async def replay_own(self, ctx: RequestContext, task_id: str, request: ReplayRequest) -> tuple[Replayed, bool]:
        """Do a task of the caller's tenant again; see `replay`.

        Returns:
            What was made, and whether an earlier request with the same idempotency key had made it.

        Raises:
            PermissionMissing: the caller is neither operator nor admin.
            IdempotencyKeyReused
        """
        if not ctx.principal.sees_whole_tenant:
            raise PermissionMissing("Only operators and admins replay tasks.")
        return await self.repeats.once(
            ctx,
            f"task.replay/{task_id}",
            request,
            Replayed,
            lambda: self.replay(ctx, ctx.tenant_id, task_id, request),
        )

    @admits
    async def replay(
        self, ctx: RequestContext, tenant_id: str, task_id: str, request: ReplayRequest, *, last_replay: str = "*"
    ) -> Replayed:
        """Do a task again: a new task with the same input, on behalf of the same user.

        The script that takes the new task in marks the old one with it. With an idempotency key the ids of the new task
        are made of the key, so that the same request makes it once, however often and wherever it is repeated.

        Args:
            ctx: the request.
            tenant_id: whose task it is.
            task_id: the task.
            request: what changes.
            last_replay: the task that must have replayed it last; empty: none may have; `*`: any.

        Raises:
            NotFound: there is no such task, or its session is gone.
            TaskUnfinished: it has not ended.
            InvalidBody: it can't be changed so, or has no such call.
            PermissionMissing: the changed task does what the caller may not do.
            SessionClosed, TenantDraining, QueueFull, RateLimited
            ReplayedMeanwhile: another task than `last_replay` has replayed it last.
        """
        record = await self.store.record(tenant_id, task_id)
        if record is None:
            raise NotFound(f"There is no task {task_id}.")
        if record.status not in FINISHED:
            raise TaskUnfinished(f"Task {task_id} is {record.status}: it can be replayed when it has ended.")
        message = self._message(ctx, record, request, _new_ids(ctx, tenant_id, task_id, request))
        kind = self.kinds.named(str(message.type))
        if request.changes:
            _check_permissions(ctx, kind, message)
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
        name_task(message.task_id, str(message.type), message.session_id)
        mark = ReplayMark(task_id, last_replay)
        checkpoints = {f"checkpoint:{name}": record.checkpoints[name] for name in reused}
        if await self._place(message, kind, mark, checkpoints):
            await self.audit.done(
                ctx,
                "task.replay",
                f"{task_id} as {message.task_id}; changed: {', '.join(request.changes) or 'nothing'}",
                tenant_id=tenant_id,
            )
        return evolve(replayed, task_id=message.task_id, message_id=message.metadata.message_id)

    def _message(
        self, ctx: RequestContext, record: TaskRecord, request: ReplayRequest, ids: tuple[str, str]
    ) -> TaskMessage:
        task_id, message_id = ids
        before = decode_kept(record.message, TaskMessage)
        message = structure(changed(unstructure(before), request.changes), TaskMessage)
        trace = current_trace() or ctx.trace
        carried = {name: value for name, value in message.metadata.carried.items() if name != STATE}
        metadata = evolve(
            message.metadata,
            message_id=message_id if message.metadata.message_id else None,
            retry_count=0,
            deduplication_key=None,
            trace_id=trace.trace_id,
            traceparent=str(trace),
            carried=carried | ({STATE: trace.state} if trace.state else {}),
            request_id=ctx.request_id,
        )
        return self.kinds.named(str(message.type)).complete(
            evolve(
                message,
                message_id=new_id(),
                task_id=task_id,
                correlation_id=ctx.correlation_id,
                created_at=to_timestamp(now_ms()),
                expires_at=None,
                status=TaskStatus.PENDING,
                metadata=metadata,
            )
        )

    async def _place(
        self, message: TaskMessage, kind: TaskKind, mark: ReplayMark, checkpoints: dict[str, bytes]
    ) -> bool:
        """Take a replay in; returns whether it is new, and not the same request's once more."""
        tenant_id, user_id, settings = message.tenant_id, message.metadata.user_id, self.settings
        count = await self.limits.count(tenant_id, user_id, self.rates)
        if not count.passed:
            raise rate_limited(count.ms, count.limit)
        entry = new_entry_of(message, kind, {"replay_of": mark.replay_of, **checkpoints})
        placed, detail = await self.placement.place(
            evolve(entry, replays=mark, expire_ms=round(settings.queue_timeout * 1000)),
            retain_seconds=int(settings.retain_tasks),
            session_queue_length=settings.session_queue_length,
        )
        if placed is Enqueued.REPLAYED:
            raise ReplayedMeanwhile(detail)
        if placed is Enqueued.KNOWN:
            return False
        if placed is not Enqueued.OK:
            raise _refusal(placed, str(detail), message)
        if detail is True:
            await self.ready.mark(tenant_id)
        return True


def _check_permissions(ctx: RequestContext, kind: TaskKind, message: TaskMessage) -> None:
    """Refuse a change that has a task do what its author may not do; its user's permissions were looked at before."""
    faults = [
        FieldFault(f"$.payload.{place}", f"takes the permission '{permission}'")
        for place, permission in kind.needs(message)
        if not ctx.principal.may(permission)
    ]
    if faults:
        raise PermissionMissing(f"The task can't be changed so: {faults[0].path} {faults[0].message}.", details=faults)


def _new_ids(ctx: RequestContext, tenant_id: str, task_id: str, request: ReplayRequest) -> tuple[str, str]:
    """Return the ids of a replay and of its message: those that its idempotency key has, or new ones."""
    key = ctx.idempotency_key or ctx.message_id
    if key is None:
        return new_id(), new_id()
    seed = encode([tenant_id, ctx.principal.user_id, key, task_id, unstructure(request)])
    digest = hashlib.sha256(seed).hexdigest()
    return digest[:32], digest[32:]


def _refusal(placed: Enqueued, detail: str, message: TaskMessage) -> OrchestratorError:
    match placed:
        case Enqueued.TENANT:
            return tenant_refuses(detail)
        case Enqueued.UNKNOWN:
            return session_not_found(str(message.session_id))
        case Enqueued.CLOSED:
            return session_closed(str(message.session_id), detail)
        case Enqueued.FULL:
            return quota_reached(detail)
    raise AssertionError(f"unexpected verdict {placed}")
