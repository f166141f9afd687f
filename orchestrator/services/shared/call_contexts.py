"""What the calls of a task, or of a request, carry with them."""

import trio

from orchestrator.models.common.call import CallContext, CallOrigin
from orchestrator.models.common.principal import RequestContext, TraceContext
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.shared.traces import current_trace, trace_of


def call_of(message: TaskMessage, deadline: float) -> CallContext:
    """Return what the calls of a task carry; `deadline` is by trio's clock."""
    return CallContext(
        message.tenant_id,
        message.correlation_id,
        message.metadata.request_id or message.task_id,
        current_trace() or trace_of(message.metadata) or TraceContext.new(),
        deadline,
        origin=CallOrigin(
            user_id=message.metadata.user_id,
            session_id=message.session_id or "",
            conversation_id=message.conversation_id or "",
            task_id=message.task_id,
            carried=message.metadata.carried,
        ),
    )


def call_for(ctx: RequestContext, seconds: float) -> CallContext:
    """Return what the calls of a request carry, for so long."""
    return CallContext(
        ctx.tenant_id,
        ctx.correlation_id,
        ctx.request_id,
        ctx.trace,
        trio.current_time() + seconds,
        origin=CallOrigin(user_id=ctx.principal.user_id),
    )
