"""What the calls of a task, or of a request, carry with them."""

import trio

from orchestrator.models.common.call import CallContext
from orchestrator.models.common.principal import RequestContext, TraceContext
from orchestrator.models.tasks.task import TaskMessage


def call_of(message: TaskMessage, deadline: float) -> CallContext:
    """Return what the calls of a task carry; `deadline` is by trio's clock."""
    parent = message.metadata.traceparent
    trace = TraceContext(parent[3:35], parent[36:52], parent.endswith("1")) if parent else None
    return CallContext(
        message.tenant_id,
        message.correlation_id,
        message.metadata.request_id or message.task_id,
        trace or TraceContext.new(),
        deadline,
    )


def call_for(ctx: RequestContext, seconds: float) -> CallContext:
    """Return what the calls of a request carry, for so long."""
    return CallContext(ctx.tenant_id, ctx.correlation_id, ctx.request_id, ctx.trace, trio.current_time() + seconds)
