"""The bulkhead: how many calls a service gets at once, so that a slow one does not take all there is.

The limit follows the service: it grows by one a round of calls that went well, and shrinks by a quarter when calls run
out of time, once a round. Who finds no room waits in a line, as long as there is hope to be served in time.
"""

from enum import StrEnum
from typing import Final

from attrs import define, field

SHRINK: Final = 0.75
FLOOR_SHARE: Final = 1 / 16
"""Of the ceiling; the limit never falls below."""
LINE_LENGTH: Final = 4
"""So many times the ceiling may wait in line."""


class BulkheadVerdict(StrEnum):
    """What becomes of a call that wants in."""

    ENTER = "enter"
    WAIT = "wait"
    FULL = "full"
    """The line is as long as it may be."""
    LATE = "late"
    """Its turn would come too late."""


@define
class Bulkhead:
    """Counts the calls of one service.

    Args:
        ceiling: the most calls at once.
    """

    ceiling: int
    in_flight: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)
    _limit: float = field(init=False)
    _shrunk_at: float = field(default=float("-inf"), init=False)

    @_limit.default
    def _start(self) -> float:
        return float(self.ceiling)

    @property
    def limit(self) -> int:
        """How many calls may run at once now."""
        return int(self._limit)

    def admit(self, remaining: float, typical: float | None) -> BulkheadVerdict:
        """Say what becomes of a call; one that enters is counted, and so is one that waits.

        Args:
            remaining: seconds until its deadline.
            typical: seconds that a call usually takes; None: unknown.
        """
        if self.in_flight < self.limit and self.waiting == 0:
            self.in_flight += 1
            return BulkheadVerdict.ENTER
        if self.waiting >= self.ceiling * LINE_LENGTH:
            return BulkheadVerdict.FULL
        if typical is not None and typical * self._rounds() > remaining:
            return BulkheadVerdict.LATE
        self.waiting += 1
        return BulkheadVerdict.WAIT

    def let_in(self) -> None:
        """Count a call that enters whatever the limit is."""
        self.in_flight += 1

    def promote(self) -> bool:
        """Let the first of the line in, if there is room; says whether there was."""
        if self.waiting == 0 or self.in_flight >= self.limit:
            return False
        self.waiting -= 1
        self.in_flight += 1
        return True

    def give_up(self) -> None:
        """Leave the line."""
        self.waiting -= 1

    def leave(self) -> None:
        """End a call."""
        self.in_flight -= 1

    def went_well(self) -> None:
        """Grow: a call was answered in time."""
        self._limit = min(float(self.ceiling), self._limit + 1 / self._limit)

    def ran_out_of_time(self, began: float, now: float) -> None:
        """Shrink, unless that was done since the call began: what it met was the larger limit still."""
        if began >= self._shrunk_at:
            self._limit = max(1.0, self.ceiling * FLOOR_SHARE, self._limit * SHRINK)
            self._shrunk_at = now

    def _rounds(self) -> float:
        """How often all that run must end before one that comes now is done, in calls' lengths."""
        return (self.waiting + 1) / self.limit + 1
