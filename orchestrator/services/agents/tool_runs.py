"""Tools that answer later: each run is a task, which ends when the Tool Registry tells its result."""

import hashlib
from typing import Any, Final

from attrs import frozen

from orchestrator.codec import encode
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.tasks.task_states import lane_of
from orchestrator.models.agents.tool import LONGEST_MS
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.task import Task
from orchestrator.services.chat.turn_tools import DELEGATED_MS
from orchestrator.services.shared.views import admission_refused
from orchestrator.services.tasks.new_tasks import new_task
from orchestrator.services.tasks.payloads import PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind
from orchestrator.services.tasks.tasks import TaskService
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.tasks.admission import Verdict
from orchestrator.store.tasks.plain_tasks import KnownTenants, PlainTaskStore, Repeat, TaskBounds
from orchestrator.telemetry.tracing.work import admits, name_task

TOOL_RUN: Final = TaskKind(
    MessageType("tool", "execute"),
    payload={
        "tool_id": PayloadField(str),
        "parameters": PayloadField(dict),
        "timeout_ms": PayloadField(int, least=1, most=LONGEST_MS),
        "session_id": PayloadField(str, required=False),
        "kind": PayloadField(str, required=False),
    },
    priority=2,
)
UNKNOWN: Final = "unknown"
"""`kind` of a tool of which the registry is yet to say whether it answers at once; without a kind it answers later."""


@frozen
class ToolRunService:
    """Starts tools that answer later."""

    admission: PlainTaskStore
    tasks: TaskService
    ready: ReadyTenants
    known: KnownTenants
    settings: AgentOrchestratorSettings

    @admits
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

        The request was counted by the rate limit before. Where it has an idempotency key or an id, a repeated
        request is the same task.

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
        message = new_task(
            ctx,
            TOOL_RUN,
            payload,
            priority=ctx.priority,
            timeout_ms=int(self.settings.turn_timeout * 1000),
        )
        name_task(message.task_id, str(message.type), message.session_id)
        await self.known.note(ctx.tenant_id)
        key = ctx.idempotency_key or ctx.message_id
        digest = hashlib.sha256(encode(payload)).hexdigest()
        admission = await self.admission.admit(
            message,
            lane=lane_of(message.priority),
            event=None,
            bounds=TaskBounds(int(self.settings.retain_tasks), round(self.settings.queue_timeout * 1000)),
            repeat=Repeat(key, digest) if key else None,
            answer=message.task_id.encode(),
        )
        if admission.verdict is Verdict.REPLAYED:
            return await self.tasks.get(ctx, admission.detail)
        if admission.verdict is not Verdict.OK:
            raise admission_refused(admission)
        await self.ready.mark(ctx.tenant_id)
        return await self.tasks.get(ctx, message.task_id)
