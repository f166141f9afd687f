"""Callbacks as those ask for them who start work: whom to tell, checked, and the task that will do so."""

from typing import Any, Final

from orchestrator.clients.transport.addresses import AddressGuard, parse_target
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault, MessageType
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.tasks.new_tasks import new_task
from orchestrator.services.tasks.payloads import PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind


def _names_an_end(message: TaskMessage) -> None:
    if message.payload.get("task_id") is None and message.payload.get("batch_id") is None:
        missing = FieldFault("$.payload.batch_id", "required field is missing")
        raise InvalidBody("The callback names neither a batch nor a task.", details=[missing])


# A receiver that does not answer is tried for a day.
WEBHOOK: Final = TaskKind(
    MessageType("webhook", "deliver"),
    payload={
        "url": PayloadField(str),
        "task_id": PayloadField(str, required=False),
        "batch_id": PayloadField(str, required=False),
    },
    also=_names_an_end,
    priority=9,
    holds_up_drain=False,
)


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
    return new_task(ctx, WEBHOOK, payload)
