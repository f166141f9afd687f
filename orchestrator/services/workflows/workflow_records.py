"""What the record of a workflow's task begins with, and the events that tell of it."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import asdict

from orchestrator.codec import parse_json
from orchestrator.models.common.ids import new_epoch
from orchestrator.models.events.events import Event
from orchestrator.models.plans.workflow import WorkflowInputRequest, WorkflowStatusUpdate
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.models.tasks.task_updates import TaskProgress, own_name
from orchestrator.store.events.frames import make_body
from orchestrator.store.plans.workflows import FIGURES, PROGRESS, Note, read_progress

STATUS_UPDATE: Final = "workflow.status_update"
INPUT_REQUEST: Final = "workflow.input_request"


def workflow_of(message: TaskMessage) -> str:
    """Return the id of a task's workflow; a plan of the user's own is named like its task."""
    return str(message.payload.get("workflow_id") or message.task_id)


def asking_task(event: Event, node_id: str) -> str | None:
    """Return the task of the workflow that asks its user by an event of a session; None: none does, or elsewhere.

    Args:
        event: of the session's log.
        node_id: the node that asks, or the engine's own name of the question.
    """
    if event.name != INPUT_REQUEST:
        return None
    asked = parse_json(event.body)["data"]
    task_id = asked.get("task_id")
    is_meant = node_id in (asked.get("node_id"), own_name(asked.get("schema")))
    return task_id if is_meant and isinstance(task_id, str) else None


def is_result(checkpoint: str) -> bool:
    """Tell whether a checkpoint is the result of a call or a step that another task may begin with."""
    return checkpoint.startswith("step:") or not {":", "."} & set(checkpoint)


def progress_of(update: WorkflowStatusUpdate) -> bytes:
    """Return what is kept of how far a workflow is, as services tell it, too."""
    kept = TaskProgress(
        progress=update.progress,
        steps_completed=update.steps_completed,
        steps_total=update.steps_total,
        current_step=update.current_step,
        message=update.status_message,
    )
    return orjson.dumps({name: value for name, value in asdict(kept).items() if value is not None})


def begun(message: TaskMessage) -> WorkflowStatusUpdate:
    """Return how a workflow stands that has not started."""
    plan = message.payload.get("plan")
    calls = plan.get("calls") if isinstance(plan, dict) else None
    steps = len(calls) if isinstance(calls, dict) else 0
    return WorkflowStatusUpdate(message.task_id, workflow_of(message), TaskStatus.PENDING, steps_total=steps)


def workflow_record(message: TaskMessage) -> dict[str, str | bytes | int]:
    """Return the fields that the record of a workflow has beside those of every task."""
    return {
        "workflow_id": workflow_of(message),
        FIGURES if "plan" in message.payload else PROGRESS: progress_of(begun(message)),
        "end_event": STATUS_UPDATE,
        "end_body": _end_template(message),
    }


def logged_record(message: TaskMessage) -> dict[str, str | bytes | int]:
    """Return the same with a log of its own, for a task that is not admitted by a request."""
    told: dict[str, str | bytes | int] = {} if message.session_id is None else {"of_session": message.session_id}
    return {**workflow_record(message), **told, "epoch": new_epoch(), "offset": 0}


def status_body(update: WorkflowStatusUpdate, tenant_id: str, correlation_id: str) -> bytes:
    """Encode `workflow.status_update`."""
    return make_body(STATUS_UPDATE, update, tenant_id=tenant_id, correlation_id=correlation_id)


def status_note(update: WorkflowStatusUpdate, tenant_id: str, correlation_id: str) -> Note:
    """Return what is kept and told of how far a plan of the user's own is."""
    return Note({FIGURES: progress_of(update)}, [(STATUS_UPDATE, status_body(update, tenant_id, correlation_id))])


def standing_of(progress: TaskProgress, status: TaskStatus) -> TaskStatus:
    """Return how a workflow stands: it waits only for its user, not for the service that works on it."""
    if status not in {TaskStatus.WAITING, TaskStatus.PROCESSING}:
        return status
    asks = progress.input_request is not None or progress.status == TaskStatus.WAITING
    return TaskStatus.WAITING if asks else TaskStatus.PROCESSING


def update_of(task_id: str, workflow_id: str, progress: TaskProgress, status: TaskStatus) -> WorkflowStatusUpdate:
    """Return what is told of how far a workflow is."""
    return WorkflowStatusUpdate(
        task_id,
        workflow_id,
        standing_of(progress, status),
        progress.progress or 0.0,
        progress.steps_completed or 0,
        progress.steps_total or 0,
        progress.current_step,
        progress.message,
    )


def request_of(task_id: str, progress: TaskProgress) -> WorkflowInputRequest | None:
    """Return what a workflow asks its user."""
    asked = progress.input_request
    return None if asked is None else WorkflowInputRequest(task_id, asked.node_id, asked.prompt, asked.schema)


def request_body(request: WorkflowInputRequest, tenant_id: str, correlation_id: str) -> tuple[str, bytes]:
    """Return the event, name and body, that tells what a workflow asks its user."""
    return INPUT_REQUEST, make_body(INPUT_REQUEST, request, tenant_id=tenant_id, correlation_id=correlation_id)


def last_update(record: Mapping[bytes, bytes], message: TaskMessage) -> WorkflowStatusUpdate:
    """Return what was told last of a workflow, as the record of its claimed task has it."""
    return update_of(message.task_id, workflow_of(message), read_progress(record), TaskStatus.PROCESSING)


def _end_template(message: TaskMessage) -> bytes:
    """Encode the last `workflow.status_update`, for a script to fill in (`lib/tasks/ends.lua`)."""
    data: dict[str, Any] = {"task_id": "@task", "workflow_id": workflow_of(message), "status": "@status"}
    tenant_id, correlation_id = message.tenant_id, message.correlation_id
    body = orjson.loads(make_body(STATUS_UPDATE, data, tenant_id=tenant_id, correlation_id=correlation_id))
    body["data"]["@figures"] = None
    return orjson.dumps(body | {"message_id": "@message", "created_at": "@moment"})
