"""Dead lettering: a claimed task that can't even be begun is given up, and goes to the dead letters."""

from orchestrator.codec import encode
from orchestrator.errors import OrchestratorError
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.queue.attempts.failures import log_end
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.views import state_body
from orchestrator.services.tasks.tasks import retention_of
from orchestrator.store.tasks.tasks import TaskEnding


async def dead_letter(services: QueueServices, running: RunningTask, error: OrchestratorError) -> None:
    """End a task as failed, for `error`; its session, if it has one, is told.

    Raises:
        FencedOut: another process has taken the task over.
    """
    claim = running.claim
    correlation_id = claim.record.get(b"correlation_id", b"").decode(errors="replace")
    session_id = claim.record.get(b"session_id", b"").decode(errors="replace")
    ending = TaskEnding(
        status=TaskStatus.FAILED,
        session_state=SessionState.ERROR,
        state_body=state_body(claim.tenant_id, session_id, SessionState.ERROR, correlation_id),
        correlation_id=correlation_id,
        error=encode(error.body(correlation_id)),
        dead_letter=True,
    )
    services.metrics.message_processed(claim.tenant_id, ending.status, None)
    log_end(claim, ending.status, ending.error)
    more = await services.tasks.finish(claim, session_id, ending, retention_of(services.settings))
    if more:
        await services.ready.mark(claim.tenant_id)
