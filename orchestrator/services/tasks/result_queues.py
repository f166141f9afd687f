"""Results for the services that have asked for work through the queue: each is sent to the queue of that service."""

from typing import Final

from attrs import evolve

from orchestrator.codec import encode
from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.tasks.payloads import PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind

RESULT: Final = TaskKind(
    MessageType("result", "send"),
    payload={"task_id": PayloadField(str), "service": PayloadField(str)},
    priority=1,
)


def result_record(message: TaskMessage, service: str) -> dict[str, str | bytes | int]:
    """Return the fields of a task's record by which its end is told to a service.

    Args:
        message: the task.
        service: whose queue of results it is.
    """
    task = evolve(
        message,
        message_id=new_id(),
        task_id=new_id(),
        created_at=to_timestamp(now_ms()),
        type=RESULT.type,
        payload={"task_id": message.task_id, "service": service},
        priority=RESULT.priority,
        session_id=None,
        conversation_id=None,
        expires_at=None,
        delegated_services=[],
    )
    return {
        "callback_ends": f",{','.join(sorted(FINISHED))},",
        "callback_task": task.task_id,
        "callback_message": encode(task),
        "callback_priority": task.priority,
        "callback_type": str(task.type),
    }
