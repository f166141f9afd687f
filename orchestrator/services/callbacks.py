"""Callbacks as those ask for them who start work: whom to tell, checked, and the task that will do so."""

from typing import Any, Final

from orchestrator.clients.addresses import AddressGuard, parse_target
from orchestrator.errors import InvalidBody
from orchestrator.models.envelope import FieldFault, MessageType
from orchestrator.models.ids import new_id
from orchestrator.models.principal import RequestContext
from orchestrator.models.task import TaskMessage, TaskMetadata
from orchestrator.models.timestamps import now_ms, to_timestamp

WEBHOOK: Final = MessageType("webhook", "deliver")
LOWEST_PRIORITY: Final = 9


def check_callback(url: str, guard: AddressGuard) -> None:
    """Refuse a URL to which nothing can or may be sent; where a name leads shows when it is sent to.

    Raises:
        InvalidBody: it is one.
    """
    try:
        if guard.refuses_literal(parse_target(url).host):
            raise ValueError("must not lead to a private or reserved address")
    except ValueError as error:
        fault = FieldFault("$.data.callback.url", str(error))
        raise InvalidBody(f"$.data.callback.url {error}.", details=[fault]) from None


def callback_task(ctx: RequestContext, payload: dict[str, Any]) -> TaskMessage:
    """Return the task that tells of an end.

    Args:
        ctx: the request that asks for it.
        payload: `url`, and whose end it is.
    """
    task_id = new_id()
    return TaskMessage(
        message_id=task_id,
        task_id=task_id,
        tenant_id=ctx.tenant_id,
        correlation_id=ctx.correlation_id,
        created_at=to_timestamp(now_ms()),
        type=WEBHOOK,
        metadata=TaskMetadata(
            user_id=ctx.principal.user_id,
            trace_id=ctx.trace.trace_id,
            traceparent=str(ctx.trace),
            request_id=ctx.request_id,
        ),
        payload=payload,
        priority=LOWEST_PRIORITY,
    )
