"""Items of batches: from the claimed task to its end in the store, which is where the batch hears of it."""

from functools import partial

from attrs import define, frozen

from orchestrator.codec import encode
from orchestrator.errors import OrchestratorError
from orchestrator.models.chat import HistoryMessage
from orchestrator.models.task import TaskStatus
from orchestrator.queue.hand import Hand
from orchestrator.queue.run import ChatRun, outlast
from orchestrator.queue.services import QueueServices
from orchestrator.queue.tasks.attempts import carry, lost_too_often, outcome_of, read_or_bury
from orchestrator.queue.tasks.parking import put_aside
from orchestrator.queue.tasks.retries import start_over
from orchestrator.services.run import Partial, TurnDone, TurnRunner, TurnWaiting
from orchestrator.services.stand_in import stand_in
from orchestrator.services.tasks import retention_of
from orchestrator.store.tasks import Ending


@define(eq=False)
class ItemRun(ChatRun):
    """An attempt at an item: what `services.run.Run` asks for, without a conversation and without followers."""

    async def emit(self, name: str, data: object) -> None:
        """Tell nobody: who follows a batch hears how far it is, and reads its results."""

    async def recent(self) -> list[HistoryMessage]:
        """Return nothing: an item has no past."""
        return []


@frozen
class BatchItems:
    """Runs items of batches.

    Args:
        services: what the queue works with.
        items: what an item consists of.
    """

    services: QueueServices
    items: TurnRunner

    async def __call__(self, hand: Hand) -> None:
        """Run a claimed item to its end.

        Raises:
            FencedOut: another process has taken the task over.
        """
        message = await read_or_bury(self.services, hand)
        if message is None:
            return
        run = ItemRun(self.services, hand, message, stand_in(message, message.payload["agent_id"]))
        await carry(self.services, hand, partial(self._attempt, run), partial(self._cancel, run))

    async def _attempt(self, run: ItemRun) -> None:
        fault = lost_too_often(self.services, run.hand.claim, "item")
        if fault is not None:
            await self._finish(run, _failed(run, fault))
            return
        outcome = await outcome_of(partial(self.items.run, run, Partial()), "item", run.message.task_id)
        if isinstance(outcome, TurnDone):
            run.hand.tokens = outcome.answer.usage.total_tokens
            await self._finish(run, _ending(run, TaskStatus.COMPLETED, result=encode(outcome.answer)))
        elif isinstance(outcome, TurnWaiting):
            await put_aside(self.services, run.hand.claim, "", outcome.waits)
        elif not await start_over(self.services, run, outcome):
            await self._finish(run, _failed(run, outcome))

    async def _cancel(self, run: ItemRun) -> None:
        await self._finish(run, _ending(run, TaskStatus.CANCELLED))

    async def _finish(self, run: ItemRun, ending: Ending) -> None:
        retention = retention_of(self.services.settings)
        more = await outlast(lambda: self.services.tasks.finish(run.hand.claim, "", ending, retention))
        if more:
            await outlast(lambda: self.services.ready.mark(run.message.tenant_id))


def _failed(run: ItemRun, error: OrchestratorError) -> Ending:
    body = encode(error.body(run.message.correlation_id))
    return _ending(run, TaskStatus.FAILED, error=body, dead_letter=True)


def _ending(
    run: ItemRun, status: TaskStatus, *, result: bytes = b"", error: bytes = b"", dead_letter: bool = False
) -> Ending:
    return Ending(
        status=status,
        session_state="",
        state_body=b"",
        correlation_id=run.message.correlation_id,
        result=result,
        error=error,
        dead_letter=dead_letter,
    )
