"""Items of batches: from the claimed task to its end in the store, which is where the batch hears of it."""

from functools import partial
from typing import Final

from attrs import define, frozen

from orchestrator.codec import encode
from orchestrator.errors import OrchestratorError
from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.queue.attempts.attempt import TurnAttempt
from orchestrator.queue.attempts.lifecycle import carry, end_alone, lost_too_often, outcome_of, read_or_dead_letter
from orchestrator.queue.attempts.retries import start_over
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.attempts.waiting import put_aside
from orchestrator.queue.tasks.registry import RunnableKind, TaskDeps
from orchestrator.queue.worker.expiry import expired
from orchestrator.services.plans.attempt import Partial, TurnDone, TurnRunner, TurnWaiting
from orchestrator.services.scheduling.batches import BATCH_ITEM
from orchestrator.services.workflows.ephemeral_session import ephemeral_session


@define(eq=False)
class ItemAttempt(TurnAttempt):
    """An attempt at an item: what `services.run.Run` asks for, without a conversation and without followers."""

    async def emit(self, name: str, data: object) -> None:
        """Tell nothing: followers of a batch are told its progress, and read its results."""

    async def recent(self) -> list[HistoryMessage]:
        """Return nothing: an item has no past."""
        return []


@frozen
class BatchItems:
    """Runs items of batches.

    Args:
        services: what the queue works with.
        items: what an item consists of.
        noun: what such a task is called.
    """

    services: QueueServices
    items: TurnRunner
    noun: str = "item"

    async def __call__(self, running: RunningTask) -> None:
        """Run a claimed item to its end.

        Raises:
            FencedOut: another process has taken the task over.
        """
        message = await read_or_dead_letter(self.services, running)
        if message is None:
            return
        session = ephemeral_session(message, message.payload["agent_id"], message.payload.get("version"))
        run = ItemAttempt(self.services, running, message, session)
        await carry(
            self.services,
            running,
            partial(self._attempt, run),
            partial(end_alone, self.services, running.claim, TaskStatus.CANCELLED),
        )

    async def _attempt(self, run: ItemAttempt) -> None:
        claim = run.running.claim
        fault = expired() if claim.expired else lost_too_often(self.services, claim, self.noun)
        if fault is not None:
            await self._fail(run, fault)
            return
        outcome = await outcome_of(partial(self.items.run, run, Partial()), self.noun, run.message.task_id)
        if isinstance(outcome, TurnDone):
            run.running.tokens = outcome.answer.usage.total_tokens
            answer = encode(outcome.answer)
            await end_alone(self.services, run.running.claim, TaskStatus.COMPLETED, result=answer)
        elif isinstance(outcome, TurnWaiting):
            await put_aside(self.services, run.running.claim, "", outcome.waits)
        elif not await start_over(self.services, run, outcome):
            await self._fail(run, outcome)

    async def _fail(self, run: ItemAttempt, error: OrchestratorError) -> None:
        body = encode(error.body(run.message.correlation_id))
        await end_alone(self.services, run.running.claim, TaskStatus.FAILED, error=body)


def _handler(deps: TaskDeps) -> BatchItems:
    return BatchItems(deps.queue, deps.core.questions)


batch_item: Final = RunnableKind(BATCH_ITEM, _handler)
