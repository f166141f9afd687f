"""Batches, turns and other tasks as runs are shown: in the form that workflows have."""

from typing import Final

from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.plans.workflow import RunKind, WorkflowResults, WorkflowStatus
from orchestrator.models.tasks.batch import ENDED, Batch, BatchStatus, ItemResult
from orchestrator.models.tasks.task import Task, TaskStatus

_STATUSES: Final = {
    BatchStatus.RUNNING: TaskStatus.PROCESSING,
    BatchStatus.STOPPING: TaskStatus.PROCESSING,
    BatchStatus.COMPLETED: TaskStatus.COMPLETED,
    BatchStatus.PARTIAL: TaskStatus.PARTIAL,
    BatchStatus.FAILED: TaskStatus.FAILED,
    BatchStatus.CANCELLED: TaskStatus.CANCELLED,
}


def batch_standing(batch: Batch) -> TaskStatus:
    """Return how a batch stands as a run: it waits in the queue until its first item has started."""
    if batch.status is BatchStatus.RUNNING and batch.pending == batch.total:
        return TaskStatus.PENDING
    return _STATUSES[batch.status]


def batch_status(batch: Batch) -> WorkflowStatus:
    """Return how a batch stands; its items are its steps."""
    done, standing = batch.completed + batch.failed + batch.cancelled, batch_standing(batch)
    ended = batch.status in ENDED
    begun = batch.scheduled_for or batch.created_at
    return WorkflowStatus(
        task_id=batch.batch_id,
        workflow_id=batch.workflow_id or batch.batch_id,
        status=standing,
        progress=done / batch.total,
        steps_completed=done,
        steps_total=batch.total,
        attempt=0 if standing is TaskStatus.PENDING else 1,
        created_at=batch.created_at,
        correlation_id=batch.correlation_id,
        current_step=None if ended else f"item {min(done + 1, batch.total)} of {batch.total}",
        scheduled_for=batch.scheduled_for,
        started_at=None if standing is TaskStatus.PENDING else begun,
        updated_at=batch.finished_at or batch.updated_at or batch.created_at,
        finished_at=batch.finished_at,
        kind=RunKind.BATCH,
        cancelled_by=batch.cancelled_by,
    )


def batch_results(batch: Batch, items: list[ItemResult]) -> WorkflowResults:
    """Return what a batch has given: some of its items."""
    return WorkflowResults(
        task_id=batch.batch_id,
        workflow_id=batch.workflow_id or batch.batch_id,
        status=batch_standing(batch),
        finished_at=batch.finished_at,
        items=items,
    )


def task_status(task: Task) -> WorkflowStatus:
    """Return how a task stands that is no workflow: one step, of which nothing is known but whether it is done."""
    done = task.status is TaskStatus.COMPLETED
    return WorkflowStatus(
        task_id=task.task_id,
        workflow_id=task.task_id,
        status=task.status,
        progress=1.0 if done else 0.0,
        steps_completed=1 if done else 0,
        steps_total=1,
        attempt=task.attempt,
        created_at=task.created_at,
        correlation_id=task.correlation_id,
        current_step=None if task.status in FINISHED else task.type,
        session_id=task.session_id,
        scheduled_for=task.scheduled_for,
        started_at=task.started_at,
        updated_at=task.finished_at or task.started_at or task.created_at,
        finished_at=task.finished_at,
        kind=RunKind.TASK,
        cancelled_by=task.cancelled_by,
    )


def task_results(task: Task) -> WorkflowResults:
    """Return what a task has given that is no workflow."""
    ran = task.started_at is not None and task.finished_at is not None
    took_ms = from_timestamp(str(task.finished_at)) - from_timestamp(str(task.started_at)) if ran else None
    return WorkflowResults(
        task_id=task.task_id,
        workflow_id=task.task_id,
        status=task.status,
        result=task.result,
        error=task.error,
        took_ms={} if took_ms is None else {task.task_id: max(0, took_ms)},
        finished_at=task.finished_at,
    )
