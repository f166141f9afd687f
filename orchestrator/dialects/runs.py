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
