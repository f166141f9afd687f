"""Tools that answer later: each run is a task, which ends when the Tool Registry tells its result."""

import hashlib
from typing import Any, Final

from attrs import frozen

from orchestrator.codec import encode
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.task_states import lane_of
from orchestrator.errors import OrchestratorError, QueueFull
from orchestrator.models.envelope import MessageType
from orchestrator.models.ids import new_id
from orchestrator.models.principal import RequestContext
from orchestrator.models.task import Task, TaskMessage, TaskMetadata
from orchestrator.models.timestamps import now_ms, to_timestamp
from orchestrator.services.tasks import TaskService
from orchestrator.services.turn_tools import DELEGATED_MS
from orchestrator.services.views import key_reused, rate_limited, tenant_refuses
from orchestrator.store.admission import Admission, Verdict
from orchestrator.store.generic_tasks import GenericTaskStore, KnownTenants, Repeat, TaskBounds
from orchestrator.store.ready import ReadyTenants

TOOL_RUN: Final = MessageType("tool", "execute")
TOOL_PRIORITY: Final = 2


@frozen
class ToolRunService:
    """Starts tools that answer later."""

    admission: GenericTaskStore
    tasks: TaskService
    ready: ReadyTenants
    known: KnownTenants
    settings: AgentOrchestratorSettings

    async def start(
        self,
        ctx: RequestContext,
        tool_id: str,
        parameters: dict[str, Any],
        *,
        session_id: str | None = None,
        timeout_ms: int = DELEGATED_MS,
    ) -> Task:
        """Make a task of a tool's run; its result will be the task's.

        The request was counted by the rate limit before. Where it has an idempotency key, a repeated request is the
        same task.

        Args:
            ctx: the request.
            tool_id: the tool.
            parameters: the tool's.
            session_id: the session on whose behalf; the task has it in its payload alone.
            timeout_ms: how long the result is waited for.

        Raises:
            IdempotencyKeyReused, TenantDraining, QueueFull, RateLimited
        """
        payload = {"tool_id": tool_id, "parameters": parameters, "timeout_ms": timeout_ms, "session_id": session_id}
        message = TaskMessage(
            message_id=new_id(),
            task_id=new_id(),
            tenant_id=ctx.tenant_id,
            correlation_id=ctx.correlation_id,
            created_at=to_timestamp(now_ms()),
            type=TOOL_RUN,
            metadata=TaskMetadata(
                user_id=ctx.principal.user_id,
                timeout_ms=int(self.settings.turn_timeout * 1000),
                trace_id=ctx.trace.trace_id,
                traceparent=str(ctx.trace),
                request_id=ctx.request_id,
            ),
            payload=payload,
            priority=TOOL_PRIORITY if ctx.priority is None else ctx.priority,
        )
        await self.known.note(ctx.tenant_id)
        digest = hashlib.sha256(encode(payload)).hexdigest()
        admission = await self.admission.admit(
            message,
            lane=lane_of(message.priority),
            event=None,
            bounds=TaskBounds(
                self.settings.queue_length,
                int(self.settings.retain_tasks),
                round(self.settings.queue_timeout * 1000),
            ),
            repeat=Repeat(ctx.idempotency_key, digest) if ctx.idempotency_key else None,
            answer=message.task_id.encode(),
        )
        if admission.verdict is Verdict.REPLAYED:
            return await self.tasks.get(ctx, admission.detail)
        if admission.verdict is not Verdict.OK:
            raise _refusal(admission)
        await self.ready.mark(ctx.tenant_id)
        return await self.tasks.get(ctx, message.task_id)


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
    raise AssertionError(f"unexpected verdict {admission.verdict}")
