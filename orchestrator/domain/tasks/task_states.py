"""The life of a task, as a table.

pending ──▶ processing ──▶ completed | failed | cancelled | partial
   ▲            │
   ├─ retrying ◀┤
   └─ waiting  ◀┘        (for a user's input, a delegated service, a client's tool)
"""

from collections.abc import Mapping
from typing import Final

from orchestrator.models.tasks.task import Lane, TaskStatus

_T = TaskStatus

MOVES: Final[Mapping[TaskStatus, frozenset[TaskStatus]]] = {
    _T.PENDING: frozenset({_T.PROCESSING, _T.FAILED, _T.CANCELLED}),
    _T.PROCESSING: frozenset({_T.COMPLETED, _T.FAILED, _T.CANCELLED, _T.PARTIAL, _T.RETRYING, _T.WAITING, _T.PENDING}),
    _T.RETRYING: frozenset({_T.PENDING, _T.CANCELLED}),
    _T.WAITING: frozenset({_T.PENDING, _T.CANCELLED, _T.FAILED}),
    _T.COMPLETED: frozenset(),
    _T.FAILED: frozenset(),
    _T.CANCELLED: frozenset(),
    _T.PARTIAL: frozenset(),
}
"""From each status, where a task may go. From processing to pending it goes when a stopping process hands it back."""

FINISHED: Final = frozenset(status for status, ways in MOVES.items() if not ways)


def lane_of(priority: int) -> Lane:
    """Return the lane of a priority: 0 to 3 high, 4 to 6 normal, 7 to 9 low."""
    if priority <= 3:
        return Lane.HIGH
    return Lane.NORMAL if priority <= 6 else Lane.LOW
