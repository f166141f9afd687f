"""Starting over: a turn whose failure may pass is tried again as a whole, later, within the turn's own time."""

from random import SystemRandom
from typing import Final

import structlog
import trio
from attrs import evolve

from orchestrator.codec import encode
from orchestrator.domain.downstream.retry import task_policy, task_retry_delay
from orchestrator.errors import OrchestratorError
from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.queue.attempts.attempt import TurnAttempt, outlast
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.store.events.frames import make_body
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.tasks import Retry
from orchestrator.telemetry.tracing.work import fail_attempt

_log = structlog.get_logger()
_random: Final = SystemRandom()


def within_time_left(message: TaskMessage, claim: Claim) -> TaskMessage:
    """Return a task's message with what earlier attempts have left of its time, and how many of them have failed."""
    left = claim.time_left_ms
    timeout_ms = message.metadata.timeout_ms if left is None else left
    return evolve(message, metadata=evolve(message.metadata, timeout_ms=timeout_ms, retry_count=claim.failures))


async def start_over(services: QueueServices, run: TurnAttempt, error: OrchestratorError) -> bool:
    """Let a failed turn start over later, if that may help and there is time; false if it is given up.

    Raises:
        FencedOut: another process has taken the task over.
    """
    message = run.message
    queued = ChatStatusUpdate(str(message.metadata.message_id), message.task_id, MessageStatus.QUEUED, queue_position=0)
    name = "chat.status_update"
    body = make_body(name, queued, tenant_id=message.tenant_id, correlation_id=message.correlation_id)
    return await try_later(services, run.running, message, error, session_id=run.session.session_id, event=(name, body))


async def try_later(
    services: QueueServices,
    running: RunningTask,
    message: TaskMessage,
    error: OrchestratorError,
    *,
    session_id: str,
    event: tuple[str, bytes] | None = None,
) -> bool:
    """Let a failed task be tried again later, if that may help and there is time; false if it is given up.

    Args:
        services: what the queue works with.
        hand: the task in hand.
        message: the task, with what is left of its time.
        error: why it failed.
        session_id: whose log is told; empty: the task's own.
        event: name and body of what is told; None: nothing is told.

    Raises:
        FencedOut: another process has taken the task over.
    """
    claim, settings = running.claim, services.settings
    remaining = message.metadata.timeout_ms / 1000 - (trio.current_time() - running.began)
    delay = task_retry_delay(
        task_policy(settings.task_retries, settings.task_retry_delay),
        claim.failures + 1,
        error,
        remaining=remaining,
        chance=_random.uniform(-1, 1),
    )
    if delay is None:
        return False
    name, body = event or ("", b"")
    retry = Retry(
        delay_ms=round(delay * 1000),
        time_left_ms=max(1, round((remaining - delay) * 1000)),
        error=encode(error.body(message.correlation_id)),
        body=body,
        event=name,
    )
    fail_attempt(error.code)
    _log.info("task.retried", tenant_id=message.tenant_id, task_id=message.task_id, code=error.code, delay=delay)
    await put_off(services, claim, session_id, retry)
    return True


async def put_off(services: QueueServices, claim: Claim, session_id: str, retry: Retry) -> None:
    """Let a task start over later, as `retry` says; FencedOut where another process has taken it over."""
    moment = await outlast(lambda: services.tasks.retry(claim, session_id, retry))
    await outlast(lambda: services.due.mark(claim.tenant_id, moment))
    # A tenant at its bound of tasks in hand waits for one of them to leave.
    await outlast(lambda: services.ready.mark(claim.tenant_id))
