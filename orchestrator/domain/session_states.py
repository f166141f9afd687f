"""The life of a session, as a table.

    CREATED ──▶ ACTIVE ◀──▶ PROCESSING ──▶ ERROR
                  │             ▲            │
                  ▼             └────────────┘
               PAUSED ──▶ SUSPENDED ──▶ ARCHIVED       (idle)

From every open state a session may be closed (TERMINATED); one that can't be set up has FAILED. The caller that makes a
move compares and sets in one step, so two that move at once can't both succeed.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from orchestrator.models.sessions.session import SessionMove, SessionState

_S = SessionState

MOVES: Final[Mapping[SessionState, frozenset[SessionState]]] = {
    _S.CREATED: frozenset({_S.ACTIVE, _S.PROCESSING, _S.FAILED, _S.TERMINATED}),
    _S.ACTIVE: frozenset({_S.PROCESSING, _S.PAUSED, _S.SUSPENDED, _S.TERMINATED}),
    _S.PROCESSING: frozenset({_S.ACTIVE, _S.ERROR, _S.TERMINATED}),
    _S.ERROR: frozenset({_S.PROCESSING, _S.ACTIVE, _S.TERMINATED}),
    _S.PAUSED: frozenset({_S.ACTIVE, _S.PROCESSING, _S.SUSPENDED, _S.TERMINATED}),
    _S.SUSPENDED: frozenset({_S.ACTIVE, _S.PROCESSING, _S.ARCHIVED, _S.TERMINATED}),
    _S.TERMINATED: frozenset(),
    _S.ARCHIVED: frozenset(),
    _S.FAILED: frozenset(),
}
"""From each state, where a session may go."""

CLOSED: Final = frozenset(state for state, ways in MOVES.items() if not ways)
"""States that nothing leads out of."""


def may_move(previous: SessionState, new: SessionState) -> bool:
    """Tell whether the table has a move from `previous` to `new`."""
    return new in MOVES[previous]


def sources_of(new: SessionState) -> frozenset[SessionState]:
    """Return the states from which a session may move to `new`."""
    return frozenset(state for state, ways in MOVES.items() if new in ways)


MOVED_TO: Final[Mapping[SessionMove, SessionState]] = {
    SessionMove.PAUSE: _S.PAUSED,
    SessionMove.RESUME: _S.ACTIVE,
    SessionMove.CLOSE: _S.TERMINATED,
}
"""Where a client's move leads."""

MOVED_FROM: Final[Mapping[SessionMove, frozenset[SessionState]]] = {
    SessionMove.PAUSE: sources_of(_S.PAUSED),
    # A turn that runs ends by itself, or is cancelled.
    SessionMove.RESUME: sources_of(_S.ACTIVE) - {_S.PROCESSING},
    SessionMove.CLOSE: sources_of(_S.TERMINATED),
}
"""The states from which a client's move is allowed."""


def refusal(previous: SessionState, new: SessionState) -> str:
    """Say in one sentence why a session can't move from `previous` to `new`, and where it can."""
    ways = ", ".join(sorted(MOVES[previous])) or "nowhere"
    return f"A session can't go from {previous} to {new}; from {previous} it can go to: {ways}."


@frozen
class IdleMove:
    """What an idle session does next."""

    new: SessionState
    after_ms: int
    """Counted from the session's last activity."""


@frozen
class IdleTimes:
    """How long a session may be idle, in seconds since its last activity, before it moves on."""

    pause_after: float
    suspend_after: float
    archive_after: float

    def next_move(self, state: SessionState) -> IdleMove | None:
        """Return the move that idleness leads to from `state`; None where it leads nowhere."""
        if state is _S.ACTIVE:
            return IdleMove(_S.PAUSED, round(self.pause_after * 1000))
        if state is _S.PAUSED:
            return IdleMove(_S.SUSPENDED, round(self.suspend_after * 1000))
        if state is _S.SUSPENDED:
            return IdleMove(_S.ARCHIVED, round(self.archive_after * 1000))
        if state in {_S.CREATED, _S.ERROR}:
            return IdleMove(_S.TERMINATED, round(self.archive_after * 1000))
        return None
