"""Items of batches: from the claimed task to its end in the store, which is where the batch hears of it."""

from typing import Final

import structlog
import trio
from attrs import define, frozen

from orchestrator.codec import encode
from orchestrator.errors import FencedOut, InternalFault, InvalidBody, OrchestratorError
from orchestrator.models.chat import HistoryMessage
from orchestrator.models.task import TaskStatus
from orchestrator.queue.hand import Hand, StopReason
from orchestrator.queue.run import ChatRun, outlast
from orchestrator.queue.services import QueueServices
from orchestrator.queue.tasks.burial import bury
from orchestrator.queue.tasks.parking import put_aside
from orchestrator.queue.tasks.retries import start_over, within_time_left
from orchestrator.services.run import Partial, TurnDone, TurnRunner, TurnWaiting
from orchestrator.services.stand_in import stand_in
from orchestrator.services.tasks import retention_of
from orchestrator.store.tasks import Ending

_log = structlog.get_logger()

_SETTLE_SECONDS: Final = 10.0
"""How long a stopped item may take to be settled in the store."""


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
        try:
            message = hand.claim.message()
        except InvalidBody as error:
            await bury(self.services, hand, error)
            return
        run = ItemRun(
            self.services, hand, within_time_left(message, hand.claim), stand_in(message, message.payload["agent_id"])
        )
        with hand.scope:
            await self._attempt(run)
        if hand.scope.cancelled_caught:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _SETTLE_SECONDS):
                await self._settle(run)

    async def _attempt(self, run: ItemRun) -> None:
        if run.hand.claim.cancel_reason is not None:
            run.hand.stop(StopReason(run.hand.claim.cancel_reason))
            await trio.lowlevel.checkpoint()
        # A failure, and a wait for somebody's answer, cost an attempt too, and have lost no worker.
        others = run.hand.claim.failures + run.hand.claim.parks
        if run.attempt - others > self.services.settings.max_attempts:
            fault = InternalFault("The item was given up: its workers were lost again and again.")
            await self._finish(run, _failed(run, fault))
            return
        outcome: TurnDone | TurnWaiting | OrchestratorError
        try:
            outcome = await self.items.run(run, Partial())
        except FencedOut:
            raise
        except OrchestratorError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - a bug must not leave the batch running for ever
            _log.exception("item.crashed", task_id=run.message.task_id)
            outcome = InternalFault("The item failed for a reason inside the service.")
            outcome.__cause__ = error
        if isinstance(outcome, TurnDone):
            run.hand.tokens = outcome.answer.usage.total_tokens
            await self._finish(run, _ending(run, TaskStatus.COMPLETED, result=encode(outcome.answer)))
        elif isinstance(outcome, TurnWaiting):
            await put_aside(self.services, run.hand.claim, "", outcome.waits)
        elif not await start_over(self.services, run, outcome):
            await self._finish(run, _failed(run, outcome))

    async def _settle(self, run: ItemRun) -> None:
        """Settle an item that was stopped from outside."""
        if run.hand.reason is StopReason.HANDED_BACK:
            await self.services.tasks.hand_back(run.hand.claim)
            await self.services.ready.mark(run.message.tenant_id)
        elif run.stopped:
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
