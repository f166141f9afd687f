"""Attempts at claimed tasks: what is the same for all of them, whatever they consist of."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
import trio

from orchestrator.domain.tasks.task_messages import check_moments
from orchestrator.errors import FencedOut, InternalFault, InvalidBody, OrchestratorError
from orchestrator.models.tasks.task import TaskMessage, TaskStatus
from orchestrator.queue.attempts.attempt import outlast
from orchestrator.queue.attempts.dead_lettering import dead_letter
from orchestrator.queue.attempts.failures import log_end
from orchestrator.queue.attempts.retries import within_time_left
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.tasks.tasks import retention_of
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.tasks import TaskEnding

T = TypeVar("T")

_log = structlog.get_logger()

_SETTLE_SECONDS: Final = 10.0
"""How long a stopped task may take to be settled in the store."""


async def read_or_dead_letter(services: QueueServices, running: RunningTask) -> TaskMessage | None:
    """Return a task's message, with what is left of its time; None: it was unreadable, and is a dead letter.

    Raises:
        FencedOut: another process has taken the task over.
    """
    try:
        message = running.claim.message()
        check_moments(message)
        services.kinds.named(running.claim.record[b"type"].decode()).check(message)
        return within_time_left(message, running.claim)
    except InvalidBody as error:
        await dead_letter(services, running, error)
        return None


async def carry(
    services: QueueServices,
    running: RunningTask,
    attempt: Callable[[], Awaitable[None]],
    cancelled: Callable[[], Awaitable[None]],
) -> None:
    """Carry out an attempt; where it is stopped from outside, settle the task within `_SETTLE_SECONDS`.

    Args:
        services: what the queue works with.
        hand: the task in hand.
        attempt: does the work, and ends the task or puts it off.
        cancelled: ends the task as cancelled, where its user or an operator has stopped it.

    Raises:
        FencedOut: another process has taken the task over.
    """
    with running.scope:
        if (asked := running.claim.stop_asked) is not None:
            running.obey(asked)
            await trio.lowlevel.checkpoint()
        await attempt()
    if not running.scope.cancelled_caught:
        return
    with trio.CancelScope(shield=True, deadline=trio.current_time() + _SETTLE_SECONDS):
        if running.reason is StopReason.HANDED_BACK:
            await services.tasks.hand_back(running.claim)
            await services.ready.mark(running.claim.tenant_id)
        elif running.stopped_by is not None:
            await cancelled()


async def outcome_of(work: Callable[[], Awaitable[T]], noun: str, task_id: str) -> T | OrchestratorError:
    """Return what came of the work, or what it failed with: a bug must not have the same task claimed for ever.

    Args:
        work: what the task consists of.
        noun: what such a task is called.
        task_id: the task.

    Raises:
        FencedOut: another process has taken the task over.
    """
    try:
        return await work()
    except FencedOut:
        raise
    except OrchestratorError as error:
        return error
    except Exception as error:  # noqa: BLE001 - it is logged, and the task fails with it
        _log.exception(f"{noun}.crashed", task_id=task_id)
        fault = InternalFault(f"The {noun} failed for a reason inside the service.")
        fault.__cause__ = error
        return fault


def lost_too_often(services: QueueServices, claim: Claim, noun: str) -> InternalFault | None:
    """Return what a task is given up with whose workers were lost again and again; None: it may be tried."""
    # A failure, and a wait for an answer, cost an attempt too, and have lost no worker.
    if claim.attempt - claim.failures - claim.parks <= services.settings.max_attempts:
        return None
    return InternalFault(f"The {noun} was given up: its workers were lost again and again.")


async def end_alone(
    services: QueueServices, claim: Claim, status: TaskStatus, *, result: bytes = b"", error: bytes = b""
) -> None:
    """End a task that has no session, and no followers of its own; a failed one goes to the dead letters.

    Args:
        services: what the queue works with.
        claim: the task.
        status: how it ends.
        result: JSON; empty: there is none.
        error: the same.

    Raises:
        FencedOut: another process has taken the task over.
    """
    log_end(claim, status, error)
    ending = TaskEnding(
        status=status,
        session_state="",
        state_body=b"",
        correlation_id=claim.record.get(b"correlation_id", b"").decode(),
        result=result,
        error=error,
        dead_letter=status is TaskStatus.FAILED,
    )
    retention = retention_of(services.settings)
    if await outlast(lambda: services.tasks.finish(claim, "", ending, retention)):
        await outlast(lambda: services.ready.mark(claim.tenant_id))
