"""What stands for a session where the parts of a turn ask for one, outside of any session."""

from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.models.tasks.task import TaskMessage


def ephemeral_session(message: TaskMessage, agent_id: str, version: str | None = None) -> Session:
    """Return a session of a task's own; it is stored nowhere. `version` is that of the agent; None: the latest."""
    return Session(
        session_id=message.task_id,
        tenant_id=message.tenant_id,
        user_id=message.metadata.user_id,
        agent_id=agent_id,
        state=SessionState.PROCESSING,
        state_code=SessionState.PROCESSING.code,
        metadata={},
        context={},
        message_count=1,
        created_at=message.created_at,
        updated_at=message.created_at,
        last_activity_at=message.created_at,
        pinned_version=version,
    )
