"""Plain tasks: a piece of work without session and without conversation, tried again where that may help."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from attrs import define, frozen

from orchestrator.codec import encode
from orchestrator.errors import OrchestratorError, PlanTimeout
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.queue.attempts.attempt import TaskAttempt, outlast
from orchestrator.queue.attempts.failures import log_end
from orchestrator.queue.attempts.lifecycle import carry, lost_too_often, outcome_of, read_or_dead_letter
from orchestrator.queue.attempts.retries import try_later
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.attempts.waiting import put_aside
from orchestrator.queue.worker.expiry import expired
from orchestrator.services.plans.attempt import CallWaits
from orchestrator.store.tasks.plain_tasks import PlainTaskStore, TaskEnd


@define(eq=False)
class PlainAttempt(TaskAttempt):
    """An attempt at a plain task."""

    deadline: float
    """On trio's clock, in seconds."""


Work = Callable[[PlainAttempt], Awaitable[Any]]
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
    store: PlainTaskStore
    work: Work

    async def __call__(self, running: RunningTask) -> None:
        """Run a claimed task to its end.

        Raises:
            FencedOut: another process has taken the task over.
        """
        message = await read_or_dead_letter(self.services, running)
        if message is None:
            return
        run = PlainAttempt(self.services, running, message, running.began + message.metadata.timeout_ms / 1000)
        await carry(
            self.services,
            running,
            partial(self._attempt, run),
            partial(self._finish, run, TaskEnd(TaskStatus.CANCELLED)),
        )

    async def _attempt(self, run: PlainAttempt) -> None:
        claim = run.running.claim
        refusal = expired() if claim.expired else lost_too_often(self.services, claim, "task")
        if refusal is not None:
            await self._fail(run, refusal)
            return
        outcome = await outcome_of(partial(self._work, run), "task", run.message.task_id)
        if isinstance(outcome, CallWaits):
            await put_aside(self.services, claim, "", [outcome.wait])
        elif isinstance(outcome, TaskEnd):
            await self._finish(run, outcome)
        elif not await try_later(self.services, run.running, run.message, outcome, session_id=""):
            await self._fail(run, outcome)

    async def _work(self, run: PlainAttempt) -> TaskEnd | CallWaits:
        with trio.CancelScope(deadline=run.deadline):
            try:
                return TaskEnd(TaskStatus.COMPLETED, result=encode(await self.work(run)))
            except CallWaits as waiting:
                return waiting
        raise PlanTimeout(f"The task was not finished within {run.message.metadata.timeout_ms} ms.")

    async def _fail(self, run: PlainAttempt, error: OrchestratorError) -> None:
        body = encode(error.body(run.message.correlation_id))
        await self._finish(run, TaskEnd(TaskStatus.FAILED, error=body, dead_letter=True))

    async def _finish(self, run: PlainAttempt, end: TaskEnd) -> None:
        claim, retain = run.running.claim, int(self.services.settings.retain_tasks)
        self.services.metrics.message_processed(claim.tenant_id, end.status, None)
        log_end(claim, end.status, end.error)
        if await outlast(lambda: self.store.finish(claim, end, retain_seconds=retain)):
            await outlast(lambda: self.services.ready.mark(claim.tenant_id))
