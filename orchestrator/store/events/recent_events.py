"""The last events of a channel, kept so that who begins to follow need not read the log."""

from collections import deque
from typing import Final

from orchestrator.store.events.events import LoggedEvent

EVENTS_KEPT: Final = 16
BYTES_KEPT: Final = 16_384
"""Of their bodies, together; one event is always kept."""


class RecentEvents:
    """The last events that were published on a channel, one behind another without a gap.

    That it holds the end of the log is not certain: what was published last may be on its way. Who begins with what is
    here gets the rest pushed, and sees by the offsets whether something is missing.
    """

    __slots__ = ("_bytes", "_events")

    def __init__(self) -> None:
        self._events: deque[LoggedEvent] = deque()
        self._bytes = 0

    @property
    def last(self) -> LoggedEvent | None:
        """The event that came last; None: nothing is known of the log."""
        return self._events[-1] if self._events else None

    def add(self, event: LoggedEvent) -> None:
        """Add what was published; where it does not follow the last one, it alone is kept."""
        last = self.last
        if last is not None and (event.epoch != last.epoch or event.offset != last.offset + 1):
            self.clear()
        self._events.append(event)
        self._bytes += len(event.body)
        while len(self._events) > EVENTS_KEPT or (self._bytes > BYTES_KEPT and len(self._events) > 1):
            self._bytes -= len(self._events.popleft().body)

    def clear(self) -> None:
        """Forget everything: events may have been missed."""
        self._events.clear()
        self._bytes = 0

    def after(self, offset: int, epoch: str) -> list[LoggedEvent] | None:
        """Return what follows an offset; None where that is not known for certain."""
        last = self.last
        if last is None or epoch != last.epoch or not self._events[0].offset - 1 <= offset <= last.offset:
            return None
        return [event for event in self._events if event.offset > offset]
