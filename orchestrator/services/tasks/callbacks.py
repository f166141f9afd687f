"""Callbacks as those ask for them who start work: whom to tell, checked, the task that will do so, and how it went."""

from typing import Any, Final

from attrs import frozen

from orchestrator.clients.transport.addresses import AddressGuard, parse_target
from orchestrator.errors import InvalidBody, NotFound
from orchestrator.models.common.envelope import FieldFault, MessageType
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.tasks.callback import CallbackAttempt
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.shared.named_pages import page_by_name
from orchestrator.services.shared.views import viewer_of
from orchestrator.services.tasks.new_tasks import new_task
from orchestrator.services.tasks.payloads import PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind
from orchestrator.store.tasks.callback_log import CallbackLog

_LATEST: Final = 10**15
"""Later than every moment (ms)."""


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


@frozen
class CallbackService:
    """Shows how callbacks were delivered."""

    store: CallbackLog

    async def list(
        self, ctx: RequestContext, named: str, *, cursor: str | None = None, limit: int
    ) -> Page[CallbackAttempt]:
        """List the attempts at the callbacks of a task or a batch, or at one delivery, the newest first.

        Args:
            ctx: who asks.
            named: the id of a task, a batch or a delivery.
            cursor: where the page before ended; None: from the newest.
            limit: how many at most.

        Raises:
            NotFound: there is none that the caller may see.
            InvalidParameter: the cursor is none of this list.
        """
        subject = await self.store.subject(viewer_of(ctx), named)
        if subject is None:
            raise NotFound(f"There is no task {named}.")
        found = await self.store.attempts(ctx.tenant_id, subject)
        # Each attempt has a name of its own, and the newest has the first one; cursors hold no further colon.
        by_name = {f"{_LATEST - from_timestamp(one.at):016d}-{one.task_id}-{one.attempt}": one for one in found}
        return page_by_name(by_name, cursor=cursor, limit=limit)
