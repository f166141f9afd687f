"""Plain tasks: a piece of work without session and without conversation, tried again where that may help."""

from collections.abc import Awaitable, Callable, Mapping
from random import SystemRandom
from typing import Any, Final

import structlog
import trio
from attrs import define, field, frozen

from orchestrator.codec import encode
from orchestrator.domain.retry import task_policy, task_retry_delay
from orchestrator.errors import FencedOut, InternalFault, InvalidBody, OrchestratorError, PlanTimeout
from orchestrator.models.task import TaskMessage, TaskStatus
from orchestrator.queue.delegating import Delegated
from orchestrator.queue.expiry import expired
from orchestrator.queue.hand import Hand, StopReason
from orchestrator.queue.run import outlast
from orchestrator.queue.services import QueueServices
from orchestrator.queue.tasks.burial import bury
from orchestrator.queue.tasks.parking import put_aside
from orchestrator.queue.tasks.retries import within_time_left
from orchestrator.services.run import CallWaits
from orchestrator.store.generic_tasks import GenericTaskStore, TaskEnd
from orchestrator.store.tasks import Retry

_log = structlog.get_logger()
_random: Final = SystemRandom()
_SETTLE_SECONDS: Final = 10.0
"""How long a stopped task may take to be settled in the store."""


@define(eq=False)
class PlainRun:
    """An attempt at a plain task."""

    services: QueueServices
    hand: Hand
    message: TaskMessage
    deadline: float
    """On trio's clock, in seconds."""
    checkpoints: Mapping[str, Any] = field(init=False)
    delegations: Delegated = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.checkpoints = self.hand.claim.checkpoints()
        self.delegations = Delegated(self.services.delegations, self.hand.claim, self.message, outlast)

    async def checkpoint(self, name: str, result: Any) -> None:
        """Keep the result of a step for later attempts; FencedOut where another worker has taken over."""
        await outlast(lambda: self.services.tasks.checkpoint(self.hand.claim, name, result))


Work = Callable[[PlainRun], Awaitable[Any]]
"""Does the task, and returns its result (JSON data); raises CallWaits, or the OrchestratorError that it fails with."""


@frozen
class PlainTasks:
    """Runs plain tasks of one type.

    Args:
        services: what the queue works with.
        store: ends them.
        work: what such a task consists of.
    """

    services: QueueServices
    store: GenericTaskStore
    work: Work

    async def __call__(self, hand: Hand) -> None:
        """Run a claimed task to its end.

        Raises:
            FencedOut: another process has taken the task over.
        """
        try:
            message = within_time_left(hand.claim.message(), hand.claim)
        except InvalidBody as error:
            await bury(self.services, hand, error)
            return
        run = PlainRun(self.services, hand, message, hand.began + message.metadata.timeout_ms / 1000)
        with hand.scope:
            await self._attempt(run)
        if hand.scope.cancelled_caught:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _SETTLE_SECONDS):
                await self._settle(run)

    async def _attempt(self, run: PlainRun) -> None:
        claim = run.hand.claim
        if claim.cancel_reason is not None:
            run.hand.stop(StopReason(claim.cancel_reason))
            await trio.lowlevel.checkpoint()
        if claim.expired:
            await self._fail(run, expired())
        elif claim.attempt - claim.failures - claim.parks > self.services.settings.max_attempts:
            await self._fail(run, InternalFault("The task was given up: its workers were lost again and again."))
        else:
            await self._work(run)

    async def _work(self, run: PlainRun) -> None:
        error: OrchestratorError
        try:
            with trio.CancelScope(deadline=run.deadline) as scope:
                result = await self.work(run)
        except CallWaits as waiting:
            await put_aside(self.services, run.hand.claim, "", [waiting.wait])
            return
        except FencedOut:
            raise
        except OrchestratorError as fault:
            error = fault
        except Exception as fault:  # noqa: BLE001 - a bug must not have the same task claimed for ever
            _log.exception("task.work_crashed", task_id=run.message.task_id)
            error = InternalFault("The task failed for a reason inside the service.")
            error.__cause__ = fault
        else:
            if not scope.cancelled_caught:
                await self._finish(run, TaskEnd(TaskStatus.COMPLETED, result=encode(result)))
                return
            error = PlanTimeout(f"The task was not finished within {run.message.metadata.timeout_ms} ms.")
        if not await self._try_later(run, error):
            await self._fail(run, error)

    async def _try_later(self, run: PlainRun, error: OrchestratorError) -> bool:
        """Let a failed task be tried again later; false where that can't help, or its time is over."""
        services, claim = self.services, run.hand.claim
        remaining = run.deadline - trio.current_time()
        delay = task_retry_delay(
            task_policy(services.settings.task_retries, services.settings.task_retry_delay),
            claim.failures + 1,
            error,
            remaining=remaining,
            chance=_random.uniform(-1, 1),
        )
        if delay is None:
            return False
        retry = Retry(
            delay_ms=round(delay * 1000),
            time_left_ms=max(1, round((remaining - delay) * 1000)),
            error=encode(error.body(run.message.correlation_id)),
            body=b"",
        )
        moment = await outlast(lambda: services.tasks.retry(claim, "", retry))
        await outlast(lambda: services.due.mark(claim.tenant_id, moment))
        # A tenant at its bound of tasks in hand waits for one of them to leave.
        await outlast(lambda: services.ready.mark(claim.tenant_id))
        return True

    async def _settle(self, run: PlainRun) -> None:
        """Settle a task that was stopped from outside."""
        if run.hand.reason is StopReason.HANDED_BACK:
            await self.services.tasks.hand_back(run.hand.claim)
            await self.services.ready.mark(run.message.tenant_id)
        elif run.hand.reason in {StopReason.CANCELLED, StopReason.INTERRUPTED}:
            await self._finish(run, TaskEnd(TaskStatus.CANCELLED))

    async def _fail(self, run: PlainRun, error: OrchestratorError) -> None:
        body = encode(error.body(run.message.correlation_id))
        await self._finish(run, TaskEnd(TaskStatus.FAILED, error=body, dead_letter=True))

    async def _finish(self, run: PlainRun, end: TaskEnd) -> None:
        claim, retain = run.hand.claim, int(self.services.settings.retain_tasks)
        self.services.metrics.message_processed(claim.tenant_id, end.status, None)
        if await outlast(lambda: self.store.finish(claim, end, retain_seconds=retain)):
            await outlast(lambda: self.services.ready.mark(claim.tenant_id))
