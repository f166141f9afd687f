"""Workflows as tasks: what replays take over, and what is told of progress."""

from collections.abc import Iterator
from typing import Final

from orchestrator.clients.registry import OPERATIONS
from orchestrator.codec import structure
from orchestrator.domain import permissions
from orchestrator.domain.plans import plans
from orchestrator.domain.tasks.replays import calls_before
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault, MessageType
from orchestrator.models.plans.orchestration import OrchestrationPlan
from orchestrator.models.plans.plan_request import PlanRequest
from orchestrator.models.plans.workflow import PRIORITY
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.models.tasks.task_updates import TaskProgress
from orchestrator.services.plans.plan_journal import UNDO
from orchestrator.services.tasks.payloads import PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind, ToldEvents
from orchestrator.services.workflows.workflow_records import (
    INPUT_REQUEST,
    STATUS_UPDATE,
    is_result,
    logged_record,
    request_of,
    update_of,
)
from orchestrator.store.operations.dead_letters import TaskRecord
from orchestrator.store.plans.delegations import Reported


def plan_of(message: TaskMessage) -> OrchestrationPlan:
    """Return the plan of a task.

    Raises:
        InvalidBody, Unprocessable: it is none, or has faults; with all of them.
    """
    request = structure(message.payload["plan"], PlanRequest, "$.payload.plan")
    plan = request.plan(message.task_id, message.tenant_id, message.session_id)
    plans.check(plan, OPERATIONS, "$.payload.plan")
    return plan


def _reused(record: TaskRecord, call: str) -> list[str]:
    # What a plan waited for, and how it was undone, belongs to the task that did so; what was undone is gone.
    done = [] if UNDO in record.checkpoints else [name for name in record.checkpoints if is_result(name)]
    return calls_before(done, call, complete=record.status == TaskStatus.COMPLETED)


def _tell(task_id: str, task: Reported, progress: TaskProgress) -> ToldEvents:
    """Tell the followers of a workflow how far the service is that works on it, and what it asks them."""
    workflow_id = task.record.get("workflow_id", task_id)
    update = update_of(task_id, workflow_id, progress, TaskStatus.PROCESSING)
    # A plan of the user's own, which is named like its task, tells itself how far it is.
    events: ToldEvents = [] if workflow_id == task_id else [(STATUS_UPDATE, update)]
    asked = request_of(task_id, progress)
    return events if asked is None else [*events, (INPUT_REQUEST, asked)]


def _names_a_workflow(message: TaskMessage) -> None:
    if message.payload.get("plan") is None and message.payload.get("workflow_id") is None:
        missing = FieldFault("$.payload.workflow_id", "required field is missing")
        raise InvalidBody("The task names neither a workflow nor a plan.", details=[missing])


def _needs(message: TaskMessage) -> Iterator[tuple[str, str]]:
    """Yield the permissions that a plan of the user's own takes; a workflow of the Workflow Engine takes none."""
    if message.payload.get("plan") is not None:
        for place, permission in permissions.needed_by(plan_of(message), OPERATIONS):
            yield f"plan.{place}", permission


WORKFLOW: Final = TaskKind(
    MessageType("workflow", "execute"),
    payload={
        "workflow_id": PayloadField(str, required=False),
        "plan": PayloadField(dict, required=False),
        "input": PayloadField(dict, required=False),
        "context": PayloadField(dict, required=False),
        "further": PayloadField(dict, required=False),
    },
    also=_names_a_workflow,
    priority=PRIORITY,
    record=logged_record,
    reused=_reused,
    needs=_needs,
    tell=_tell,
)
