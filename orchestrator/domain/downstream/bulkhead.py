"""The bulkhead: a bound on concurrent calls to a service, so that a slow service does not take all capacity.

The limit adapts: it grows by one a round of successful calls, and shrinks by a quarter when calls time out, once a
round. Timeouts of calls that run the code of an agent, a tool or a workflow count only where they can't be the fault of
a few of these. Further calls wait in a queue, unless they could not finish in time.
"""

from collections import OrderedDict
from enum import StrEnum
from typing import Final

from attrs import define, field

from orchestrator.domain.downstream.callees import Callee

SHRINK: Final = 0.75
FLOOR_SHARE: Final = 1 / 16
"""Least limit, as a share of the ceiling."""
QUEUE_SHARE: Final = 4
"""Bound of the queue, as a multiple of the ceiling."""

REMEMBERED: Final = 16
"""Callees of which the last outcome is remembered."""
LATE_CALLEES: Final = 3
"""Callees whose last calls must have timed out, and half of those that are remembered, for the service to be slow."""


class BulkheadVerdict(StrEnum):
    """Decision on a call."""

    ENTER = "enter"
    WAIT = "wait"
    FULL = "full"
    """The queue is full."""
    LATE = "late"
    """The call could not finish in time."""


@define
class Bulkhead:
    """Bulkhead of one service.

    Args:
        ceiling: largest limit.
    """

    ceiling: int
    in_flight: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)
    _limit: float = field(init=False)
    _shrunk_at: float = field(default=float("-inf"), init=False)
    _late: OrderedDict[Callee, bool] = field(factory=OrderedDict, init=False)
    """Whether the last call of a callee timed out, of those that were called last."""

    @_limit.default
    def _start(self) -> float:
        return float(self.ceiling)

    @property
    def limit(self) -> int:
        """Calls that may run at once now."""
        return int(self._limit)

    def admit(self, remaining: float, typical: float | None) -> BulkheadVerdict:
        """Decide on a call, and count it as running or waiting.

        Args:
            remaining: seconds until its deadline.
            typical: usual duration of a call in seconds; None: unknown.
        """
        if self.in_flight < self.limit and self.waiting == 0:
            self.in_flight += 1
            return BulkheadVerdict.ENTER
        if self.waiting >= self.ceiling * QUEUE_SHARE:
            return BulkheadVerdict.FULL
        if typical is not None and typical * self._rounds() > remaining:
            return BulkheadVerdict.LATE
        self.waiting += 1
        return BulkheadVerdict.WAIT

    def let_in(self) -> None:
        """Count a call that runs regardless of the limit."""
        self.in_flight += 1

    def promote(self) -> bool:
        """Turn a waiting call into a running one, where there is room; returns whether there was."""
        if self.waiting == 0 or self.in_flight >= self.limit:
            return False
        self.waiting -= 1
        self.in_flight += 1
        return True

    def give_up(self) -> None:
        """Count a waiting call that gave up."""
        self.waiting -= 1

    def leave(self) -> None:
        """Count a running call that ended."""
        self.in_flight -= 1

    def went_well(self, callee: Callee = ("", "")) -> None:
        """Raise the limit: a call was answered in time."""
        self._note(callee, late=False)
        self._limit = min(float(self.ceiling), self._limit + 1 / self._limit)

    def ran_out_of_time(self, began: float, now: float, callee: Callee = ("", "")) -> None:
        """Lower the limit, unless it was lowered since the call began, which then ran under the larger one.

        Args:
            began: when the call began.
            now: when it timed out.
            callee: whose code it ran.
        """
        self._note(callee, late=True)
        if began >= self._shrunk_at and self._is_slow(callee):
            self._limit = max(1.0, self.ceiling * FLOOR_SHARE, self._limit * SHRINK)
            self._shrunk_at = now

    def _note(self, callee: Callee, *, late: bool) -> None:
        if callee[1]:
            self._late[callee] = late
            self._late.move_to_end(callee)
            if len(self._late) > REMEMBERED:
                self._late.popitem(last=False)

    def _is_slow(self, callee: Callee) -> bool:
        """Tell whether a timeout of a call is the service's fault."""
        late = sum(self._late.values())
        return not callee[1] or (late >= LATE_CALLEES and 2 * late >= len(self._late))

    def _rounds(self) -> float:
        """Estimate the time until a new call has ended, as a multiple of the usual duration."""
        return (self.waiting + 1) / self.limit + 1
