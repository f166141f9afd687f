"""Results of the steps that the Workflow Engine asks for, as a workflow keeps them."""

from typing import Final

from orchestrator.codec import encode
from orchestrator.models.plans.workflow import StepResult, StepStatus
from orchestrator.store.plans.workflows import WorkflowRecord

KEPT: Final = "checkpoint:step:"
"""Begins the names of the fields that have them."""
RESULTS_BYTES: Final = 4 * 2**20
"""What the steps of one workflow may have given together, as JSON: one that goes in circles must not fill the store."""


def room_of(workflow: WorkflowRecord) -> int:
    """Return how many bytes further results may have."""
    return RESULTS_BYTES - sum(len(value) for name, value in workflow.fields.items() if name.startswith(KEPT))


def fitting(result: StepResult, workflow: WorkflowRecord) -> StepResult:
    """Return a result, or what is said instead where it is too large."""
    return result if len(encode(result)) <= room_of(workflow) else too_large()


def too_large() -> StepResult:
    """Return what is said instead of a result for which there is no room."""
    message = f"The results of the workflow's steps are together larger than {RESULTS_BYTES} bytes."
    return StepResult(StepStatus.ERROR, error_message=message)
