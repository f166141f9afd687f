"""New tasks: the message of one that a request makes, with what travels along from the request."""

from typing import Any

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import TASK_TIMEOUT_MS, TaskMessage, TaskMetadata
from orchestrator.services.shared.traces import STATE, current_trace
from orchestrator.services.tasks.task_kinds import TaskKind


def new_task(
    ctx: RequestContext,
    kind: TaskKind,
    payload: dict[str, Any],
    *,
    priority: int | None = None,
    timeout_ms: int = TASK_TIMEOUT_MS,
    session_id: str | None = None,
    message_id: str | None = None,
    deduplication_key: str | None = None,
) -> TaskMessage:
    """Return the message of a new task of the caller's.

    Args:
        ctx: the request that makes it.
        kind: its type.
        payload: what it is about.
        priority: 0 (highest) to 9; None: that of its type.
        timeout_ms: how long it may take.
        session_id: the session that it is for.
        message_id: the user's message that it answers.
        deduplication_key: while it is not finished, another task with the same one is this one.
    """
    trace = current_trace() or ctx.trace
    return TaskMessage(
        message_id=new_id(),
        task_id=new_id(),
        tenant_id=ctx.tenant_id,
        correlation_id=ctx.correlation_id,
        created_at=to_timestamp(now_ms()),
        type=kind.type,
        metadata=TaskMetadata(
            user_id=ctx.principal.user_id,
            timeout_ms=timeout_ms,
            message_id=message_id,
            deduplication_key=deduplication_key,
            trace_id=trace.trace_id,
            traceparent=str(trace),
            request_id=ctx.request_id,
            carried={STATE: trace.state} if trace.state else {},
        ),
        payload=payload,
        session_id=session_id,
        priority=kind.priority if priority is None else priority,
    )
