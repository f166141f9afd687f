"""Words for runs: what the Workflow Engine and other services say of a task, and what clients are told of it."""

from typing import Final

from orchestrator.models.tasks.task import TaskStatus

TOLD: Final[dict[str, str]] = {
    TaskStatus.PENDING: "queued",
    TaskStatus.PROCESSING: "processing",
    TaskStatus.WAITING: "processing",
    TaskStatus.RETRYING: "processing",
    TaskStatus.COMPLETED: "completed",
    TaskStatus.PARTIAL: "completed",
    TaskStatus.FAILED: "failed",
    TaskStatus.CANCELLED: "cancelled",
}
"""What a client is told of a status."""

SAID: Final[dict[str, TaskStatus]] = {
    **{status.value: status for status in TaskStatus},
    "queued": TaskStatus.PENDING,
    "started": TaskStatus.PROCESSING,
    "running": TaskStatus.PROCESSING,
    "in_progress": TaskStatus.PROCESSING,
    "paused": TaskStatus.WAITING,
    "success": TaskStatus.COMPLETED,
    "successful": TaskStatus.COMPLETED,
    "error": TaskStatus.FAILED,
    "canceled": TaskStatus.CANCELLED,
}
"""What services say for a status."""

INPUT: Final = {"input_data": "input", "input_parameters": "input", "inputs": "input"}
"""What a run is given, by the documented names."""
EXECUTE: Final = {"workflow_template_id": "workflow_id", **INPUT}
"""Which workflow a run is of, and what it is given, by the documented names."""
ANSWER: Final = {"request_id": "node_id", "step_id": "node_id", **INPUT}
"""The answer to the question of a run, and which one, by the documented names."""

MOST_PRIORITY: Final = 10
"""Some documents count priorities from 1 to this."""
LEAST_URGENT: Final = 9
"""What that counts as."""
