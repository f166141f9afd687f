"""One attempt at a task that is a plan: fenced, and told in the task's own log."""

from typing import Any

import trio
from attrs import define, field

from orchestrator.codec import encode
from orchestrator.models.plans.plan_state import CallState, PlanProgress
from orchestrator.models.plans.workflow import WorkflowStatusUpdate
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.queue.attempts.attempt import TaskAttempt, outlast
from orchestrator.services.workflows.workflow_records import last_update, status_note, workflow_of
from orchestrator.store.plans.workflows import Note, WorkflowStore


@define(eq=False)
class PlanTaskAttempt(TaskAttempt):
    """An attempt at a plan; what `services.run.PlanAttempt` asks for.

    Args:
        store: where workflows are.
        aloud: whether the plan's own progress is told; that of a workflow of the Workflow Engine comes from there.
    """

    store: WorkflowStore
    aloud: bool
    update: WorkflowStatusUpdate = field(init=False)
    """What was told last of how far it is."""
    _notes: int = field(default=0, init=False)
    _order: trio.Lock = field(factory=trio.Lock, init=False)

    @update.default
    def _update(self) -> WorkflowStatusUpdate:
        return last_update(self.running.claim.record, self.message)

    async def checkpoint(self, name: str, result: Any, progress: PlanProgress | None = None) -> None:
        """Keep something for later attempts, and tell of `progress`, in one step.

        Raises:
            FencedOut: another worker has taken over.
        """
        told = self._told(progress) if progress is not None and self.aloud else Note()
        await self.note(Note(told.fields, told.events, name, encode(result)))

    async def tell(self, progress: PlanProgress) -> None:
        """Tell of a state that needs not be kept; FencedOut where another worker has taken over."""
        if self.aloud:
            await self.note(self._told(progress))

    async def note(self, note: Note) -> None:
        """Keep and tell something; FencedOut where another worker has taken over."""
        async with self._order:
            self._notes += 1
            number = self._notes
            await outlast(lambda: self.store.note(self.running.claim, number, note))

    def _told(self, progress: PlanProgress) -> Note:
        message = self.message
        says = None
        if progress.error is not None:
            says = f"{progress.call} {progress.state}: {progress.error.message}"
        elif progress.state in {CallState.SKIPPED, CallState.WAITING, CallState.UNDONE}:
            says = f"{progress.call} {progress.state}"
        self.update = WorkflowStatusUpdate(
            message.task_id,
            workflow_of(message),
            TaskStatus.PROCESSING,
            progress.settled / progress.total if progress.total else 0.0,
            progress.settled,
            progress.total,
            progress.call,
            says,
        )
        return status_note(self.update, message.tenant_id, message.correlation_id)
