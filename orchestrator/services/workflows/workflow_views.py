"""How workflows are shown, out of the records of their tasks."""

from typing import Any

from orchestrator.domain.tasks.task_states import FINISHED
from orchestrator.models.plans.workflow import WorkflowResults, WorkflowStatus
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.workflows.workflow_records import request_of, standing_of
from orchestrator.store.plans.workflows import WorkflowRecord


def status_of(workflow: WorkflowRecord) -> WorkflowStatus:
    """Return how a workflow stands."""
    task, progress = workflow.task, workflow.progress
    ended = task.status in FINISHED
    return WorkflowStatus(
        task_id=task.task_id,
        workflow_id=workflow.workflow_id,
        status=standing_of(progress, task.status),
        progress=1.0 if task.status is TaskStatus.COMPLETED else progress.progress or 0.0,
        steps_completed=steps_done(task.result) or progress.steps_completed or 0,
        steps_total=progress.steps_total or 0,
        attempt=task.attempt,
        created_at=task.created_at,
        correlation_id=task.correlation_id,
        current_step=None if ended else progress.current_step,
        status_message=progress.message,
        input_request=None if ended else request_of(task.task_id, progress),
        session_id=workflow.of_session,
        scheduled_for=task.scheduled_for,
        started_at=task.started_at,
        updated_at=_updated_at(workflow),
        finished_at=task.finished_at,
        metadata=workflow.payload.get("metadata") or {},
        callback=workflow.callback,
        cancelled_by=task.cancelled_by,
    )


def _updated_at(workflow: WorkflowRecord) -> str:
    """Return when something was last heard of a workflow: its progress, its start or its end."""
    task = workflow.task
    moments = (task.created_at, task.started_at, task.finished_at, workflow.updated_at)
    return max(moment for moment in moments if moment is not None)


def steps_done(result: dict[str, Any] | None) -> int:
    """Return how many steps have a result, as far as a workflow's own result tells."""
    results = (result or {}).get("results")
    return len(results) if isinstance(results, dict) else 0


def results_of(workflow: WorkflowRecord) -> WorkflowResults:
    """Return what a workflow has given."""
    task = workflow.task
    calls = {name: _result(kept) for name, kept in workflow.checkpoints.items() if _is_call(workflow, name)}
    return WorkflowResults(
        task_id=task.task_id,
        workflow_id=workflow.workflow_id,
        status=standing_of(workflow.progress, task.status),
        result=task.result,
        error=task.error,
        calls=calls,
        took_ms={name: workflow.took_ms[name] for name in calls if name in workflow.took_ms},
        finished_at=task.finished_at,
    )


def _is_call(workflow: WorkflowRecord, name: str) -> bool:
    """Tell whether a checkpoint is the result of a call or a step; others are what the engine of plans notes."""
    plan = workflow.payload.get("plan")
    calls = plan.get("calls") if isinstance(plan, dict) else None
    return name.startswith("step:") or (isinstance(calls, dict) and name in calls)


def _result(kept: Any) -> Any:
    """Return what a checkpoint holds: the plan's bookkeeping around a result or an error is left out."""
    if isinstance(kept, dict) and "state" in kept:
        return {name: kept[name] for name in ("result", "error") if name in kept}
    return kept
