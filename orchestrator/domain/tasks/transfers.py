"""Items of a tenant's queued work that arrive from another place."""

from typing import Final

from orchestrator.domain.tasks.task_messages import read_task_message
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.operations.transfer import TransferItem, TransferKind
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Lane, TaskMessage

_OPEN: Final = frozenset(
    {SessionState.CREATED, SessionState.ACTIVE, SessionState.PROCESSING, SessionState.ERROR, SessionState.PAUSED,
     SessionState.SUSPENDED}
)  # fmt: skip


def check_item(item: TransferItem, tenant_id: str) -> TaskMessage | None:
    """Check an item; returns a task's message.

    Raises:
        InvalidBody, PayloadTooLarge
    """
    if item.kind is TransferKind.SESSION:
        if item.fields.get("state") not in _OPEN:
            raise _fault("$.fields.state", "is not the state of an open session")
        for name in ("user_id", "agent_id"):
            if not item.fields.get(name):
                raise _fault(f"$.fields.{name}", "required field is missing")
        return None
    message = read_task_message(item.fields.get("message", "").encode(), tenant_id)
    if message.task_id != item.id:
        raise _fault("$.id", "is not the id of the message's task")
    if item.fields.get("lane") not in set(Lane):
        raise _fault("$.fields.lane", "must be high, normal or low")
    return message


def _fault(path: str, message: str) -> InvalidBody:
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])
