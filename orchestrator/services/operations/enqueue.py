"""What a task message becomes when it is taken in."""

from collections.abc import Mapping

from orchestrator.codec import encode
from orchestrator.domain.tasks.task_states import lane_of
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.shared.views import state_body
from orchestrator.services.tasks.task_kinds import TaskKind
from orchestrator.store.events.frames import make_body
from orchestrator.store.tasks.enqueue import NewEntry


def new_entry_of(
    message: TaskMessage,
    kind: TaskKind,
    record: Mapping[str, str | bytes | int] | None = None,
    *,
    due_ms: int | None = None,
    deduplication_key: str | None = None,
    idempotency_key: str | None = None,
) -> NewEntry:
    """Return how a message is taken in.

    Args:
        message: the message, complete.
        kind: its type.
        record: further fields of the task's record; they outweigh what the message says.
        due_ms: when it is due; None: now.
        deduplication_key: until the task has ended, a further message with the same key is this one; None: it has none.
        idempotency_key: for a day, a further message with the same key is this one; None: it has none.
    """
    tenant_id, correlation_id = message.tenant_id, message.correlation_id
    session_id = message.session_id if kind.in_session and message.session_id else ""
    fields: dict[str, str | bytes | int] = {
        "message": encode(message),
        "lane": lane_of(message.priority),
        "priority": message.priority,
        "type": str(message.type),
        **kind.record(message),
    }
    if message.expires_at is not None:
        fields["expires_at"] = from_timestamp(message.expires_at)
    queued_body = state = b""
    if session_id:
        message_id = message.metadata.message_id or message.message_id
        queued = ChatStatusUpdate(message_id, message.task_id, MessageStatus.QUEUED)
        queued_body = make_body("chat.status_update", queued, tenant_id=tenant_id, correlation_id=correlation_id)
        state = state_body(tenant_id, session_id, SessionState.PROCESSING, correlation_id, message.task_id)
    return NewEntry(
        tenant_id=tenant_id,
        task_id=message.task_id,
        user_id=message.metadata.user_id,
        correlation_id=correlation_id,
        record={**fields, **(record or {})},
        session_id=session_id,
        message_id=message.metadata.message_id or "" if session_id else "",
        queued_body=queued_body,
        state_body=state,
        due_ms=due_ms,
        deduplication_key=deduplication_key,
        idempotency_key=idempotency_key,
    )
