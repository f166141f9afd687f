"""What a task message becomes when it is taken in."""

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from orchestrator.codec import encode, structure, unstructure
from orchestrator.domain.tasks.task_states import lane_of
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import ChatTurn, MessageStatus
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.shared.views import state_body
from orchestrator.services.workflows.workflow_records import WORKFLOW, logged_record
from orchestrator.store.events.frames import make_body
from orchestrator.store.tasks.enqueue import NewEntry

CHAT_TURN: Final = "chat.message"
_TURN_FIELDS: Final = ("content", "content_type", "attachments", "metadata")


def complete_turn(message: TaskMessage) -> TaskMessage:
    """Fill in what a chat turn's payload may leave out; other messages stay as they are.

    Raises:
        InvalidBody: it is a turn without session, or its payload is none of a turn.
    """
    if str(message.type) != CHAT_TURN:
        return message
    if message.session_id is None:
        missing = FieldFault("$.session_id", "required field is missing")
        raise InvalidBody("A chat turn belongs to a session.", details=[missing])
    payload = message.payload
    unknown = sorted(set(payload) - {*_TURN_FIELDS, "message_id", "session_id"})
    if unknown:
        path, fault = f"$.payload.{unknown[0]}", "is not a field of a turn"
        raise InvalidBody(f"{path} {fault}.", details=[FieldFault(path, fault)])
    turn = structure({name: payload[name] for name in _TURN_FIELDS if name in payload}, ChatTurn, "$.payload")
    message_id = message.metadata.message_id or message.message_id
    plain = unstructure(turn)
    whole: dict[str, Any] = {name: plain[name] for name in _TURN_FIELDS} | {"message_id": message_id}
    return evolve(message, payload=whole, metadata=evolve(message.metadata, message_id=message_id))


def new_entry_of(
    message: TaskMessage, record: Mapping[str, str | bytes | int] | None = None, *, due_ms: int | None = None
) -> NewEntry:
    """Return how a message is taken in.

    Args:
        message: the message, complete.
        record: further fields of the task's record; they outweigh what the message says.
        due_ms: when it is due; None: now.
    """
    tenant_id, session_id, correlation_id = message.tenant_id, message.session_id or "", message.correlation_id
    fields: dict[str, str | bytes | int] = {
        "message": encode(message),
        "lane": lane_of(message.priority),
        "priority": message.priority,
        "type": str(message.type),
    }
    if message.expires_at is not None:
        fields["expires_at"] = from_timestamp(message.expires_at)
    queued_body = state = b""
    if message.type == WORKFLOW:
        fields |= logged_record(message)
        session_id = ""
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
    )
