"""Words for sessions: three statuses stand for nine states, and some transitions have names."""

from typing import Final

from orchestrator.models.sessions.session import SessionState

ACTIVE, INACTIVE, CLOSED = "active", "inactive", "closed"

STATUSES: Final[dict[SessionState, str]] = {
    SessionState.CREATED: ACTIVE,
    SessionState.ACTIVE: ACTIVE,
    SessionState.PROCESSING: ACTIVE,
    SessionState.ERROR: ACTIVE,
    SessionState.PAUSED: INACTIVE,
    SessionState.SUSPENDED: INACTIVE,
    SessionState.TERMINATED: CLOSED,
    SessionState.ARCHIVED: CLOSED,
    SessionState.FAILED: CLOSED,
}
"""What a client is told of a state."""

FILTERS: Final[dict[str, frozenset[SessionState]]] = {
    **{status: frozenset(state for state, told in STATUSES.items() if told == status) for status in STATUSES.values()},
    "created": frozenset({SessionState.CREATED}),
    "paused": frozenset({SessionState.PAUSED}),
    "error": frozenset({SessionState.ERROR}),
}
"""The states that a status selects in a list."""

TRANSITIONS: Final[dict[SessionState, str]] = {
    SessionState.ACTIVE: "session_active",
    SessionState.PROCESSING: "processing_started",
    SessionState.ERROR: "processing_error",
    SessionState.PAUSED: "session_paused",
    SessionState.SUSPENDED: "session_suspended",
    SessionState.TERMINATED: "session_terminated",
}
"""The name of a transition by the state that it leads to; the others have none."""
