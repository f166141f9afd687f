"""The places of callers in the row of replies.

A caller that is cancelled leaves its slot in the row, so that its reply still meets it and is thrown away there: a
reply never shifts to another caller.
"""

from typing import Any, Final

import outcome
import trio


class _Unsent:
    """Stands where a reply would be: the connection broke before anything was written."""


UNSENT: Final = _Unsent()


class PendingReply:
    """The place of a caller that waits for one reply.

    Args:
        since: when it got in line, by the clock of the wire.
    """

    __slots__ = ("since", "task")
    callers = 1
    """How many may go on when it is resolved."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.task: trio.lowlevel.Task | None = trio.lowlevel.current_task()

    def resolve(self, reply: Any) -> None:
        """Hand the reply to the caller, if it is still there."""
        task = self.task
        if task is not None:
            self.task = None
            trio.lowlevel.reschedule(task, outcome.Value(reply))

    def fail(self, error: Any) -> None:
        """Wake the caller with `error` in place of its replies; once is enough."""
        PendingReply.resolve(self, error)

    def abandon(self, _: Any) -> trio.lowlevel.Abort:
        """Leave: the abort function of the waiting caller."""
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


class PendingReplies(PendingReply):
    """The place of a caller that waits for several replies; it stands in the row once for each.

    Args:
        since: when it got in line.
        count: how many replies it waits for.
    """

    __slots__ = ("_count", "_replies")

    def __init__(self, since: float, count: int) -> None:
        super().__init__(since)
        self._count = count
        self._replies: list[Any] = []

    def resolve(self, reply: Any) -> None:
        """Keep the reply, and hand all of them over with the last one."""
        self._replies.append(reply)
        if len(self._replies) == self._count:
            super().resolve(self._replies)
