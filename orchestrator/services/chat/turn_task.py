"""Chat turns as tasks: how their messages are completed, what replays take over, and what is told of progress."""

from typing import Any, Final

from attrs import evolve

from orchestrator.codec import structure, unstructure
from orchestrator.domain.tasks.replays import calls_before
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault, MessageType
from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import ChatTurn, MessageStatus
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.models.tasks.task_updates import TaskProgress
from orchestrator.services.chat.turn_checkpoints import EXECUTED
from orchestrator.services.tasks.payloads import GIVEN_ALONG, PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind, ToldEvents
from orchestrator.store.operations.dead_letters import TaskRecord
from orchestrator.store.plans.delegations import Reported

_FIELDS: Final = ("content", "content_type", "attachments", "metadata")


def complete_turn(message: TaskMessage) -> TaskMessage:
    """Fill in what a turn's payload may leave out.

    Raises:
        InvalidBody: it has no session, or its payload is not that of a turn.
    """
    if message.session_id is None:
        missing = FieldFault("$.session_id", "required field is missing")
        raise InvalidBody("A chat turn belongs to a session.", details=[missing])
    payload = message.payload
    unknown = sorted(set(payload) - {*_FIELDS, "message_id", "session_id"})
    if unknown:
        path, fault = f"$.payload.{unknown[0]}", "is not a field of a turn"
        raise InvalidBody(f"{path} {fault}.", details=[FieldFault(path, fault)])
    turn = structure({name: payload[name] for name in _FIELDS if name in payload}, ChatTurn, "$.payload")
    message_id = message.metadata.message_id or message.message_id
    plain = unstructure(turn)
    whole: dict[str, Any] = {name: plain[name] for name in _FIELDS} | {"message_id": message_id}
    return evolve(message, payload=whole, metadata=evolve(message.metadata, message_id=message_id))


def _reused(_: TaskRecord, call: str) -> list[str]:
    # A replay can begin with the answer alone, and what a turn keeps on its way belongs to an execution that is over.
    return calls_before([EXECUTED], call, complete=True)


def _tell(task_id: str, task: Reported, progress: TaskProgress) -> ToldEvents:
    """Tell the followers of a session how far the service is that works on the turn's answer."""
    status = ChatStatusUpdate(str(task.message_id), task_id, MessageStatus.PROCESSING, progress.progress)
    return [("chat.status_update", status)]


CHAT_TURN: Final = TaskKind(
    MessageType("chat", "message"),
    payload={
        "content": PayloadField(str),
        "content_type": PayloadField(str),
        "message_id": PayloadField(str),
        "metadata": PayloadField(dict),
        **GIVEN_ALONG,
    },
    priority=1,
    complete=complete_turn,
    reused=_reused,
    tell=_tell,
    in_session=True,
)
