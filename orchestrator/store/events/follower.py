"""One reader of a session's events: in order, without gap and without double, whatever happens to the connection.

The pump pushes what is published. As long as it comes without a gap, it goes into the outbox. After a gap, a reconnect,
or where the reader starts behind the head, the follower is *behind*: it reads the log, which holds everything that was
ever published, and takes pushed events again from the moment it has caught up with them. Nothing the pump calls here
waits, so a slow reader delays no other.

What was pushed is handed out when the pump says so. A reader that waits need not be woken for it: where it has given a
function that can pass the events on without waiting, that is done there and then. A thousand tasks that are woken for
one event each cost several times what the event itself does.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog
import trio

from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.store.events.events import EventLog, LoggedEvent
from orchestrator.store.events.outbox import Outbox

BATCH: Final = 64
"""So many events are handed out at once."""
RETRY_SECONDS: Final = (0.05, 0.2, 0.5, 1.0)
_logger = structlog.get_logger(__name__)

PassOn = Callable[[Sequence[LoggedEvent]], bool]
"""Passes events on without waiting, all of them or none; returns whether it has."""


class FollowerTooSlow(Exception):
    """The reader is so far behind that its outbox is full, or that the log has been cut before it came."""


class HubStopped(Exception):
    """The process stops: the reader has everything that is in the log by now, and nothing more will be pushed."""


class LogLost(Exception):
    """What was read so far no longer connects to the log: it began anew (another epoch), or what follows is damaged."""


class Follower:
    """Follows one session; made by `EventHub.follow`, and used by one task.

    Args:
        log: where missed events are.
        tenant_id: whose session it is.
        session_id: the session.
        capacity: how many events may wait for the reader.
        on_overflow: called once when the outbox overflows, for a reader that is stuck elsewhere than in `receive`.
        pass_on: is offered events while the reader waits in `receive`.
    """

    __slots__ = (
        "_behind",
        "_capacity",
        "_ended",
        "_last",
        "_log",
        "_marks",
        "_on_overflow",
        "_outbox",
        "_overflowed",
        "_pass_on",
        "_seen",
        "_session_id",
        "_tenant_id",
        "_wake",
        "epoch",
        "head",
        "offset",
        "recovered",
    )

    def __init__(
        self,
        log: EventLog,
        tenant_id: str,
        session_id: str,
        capacity: int,
        on_overflow: Callable[[], None] | None,
        pass_on: PassOn | None = None,
    ) -> None:
        self.recovered = True
        """False where events between the offset that was asked for and `offset` can't be had any more."""
        self.offset = 0
        """Where it started: the first event received has the next offset."""
        self.epoch = ""
        self.head = 0
        """Of the log, when it was resumed from last."""
        self._log = log
        self._tenant_id = tenant_id
        self._session_id = session_id
        self._capacity = capacity
        self._on_overflow = on_overflow
        self._pass_on = pass_on
        self._outbox: Outbox[LoggedEvent] = Outbox(capacity)
        self._last = 0
        self._behind = True
        self._ended = False
        self._seen = 0
        self._marks = 0
        self._overflowed = False
        self._wake: trio.Event | None = None

    async def resume(self, after: int | None, epoch: str | None) -> None:
        """Start over behind offset `after`; at the log's head where `after` is None or can't be connected to.

        On an error the follower goes on where it was.

        Raises:
            NotFound: there is no such session (any more).
            StoreUnavailable: Redis is away.
        """
        marks = self._marks
        self._seen = 0
        head, log_epoch = await self._log.head(self._tenant_id, self._session_id)
        self.head = head
        page: list[LoggedEvent] = []
        recovered = after is None or (after <= head and epoch in (None, log_epoch))
        start = after if recovered and after is not None else head
        if start < head:
            page = await self._read(start) or []
            recovered = bool(page) and page[0].offset == start + 1
        if not recovered:
            start, page = head, []
        self.recovered, self.offset, self.epoch = recovered, start, log_epoch
        self._outbox.clear()
        self._last = start
        self._take_over(page, head, marks)

    def begin(self, after: int, epoch: str, events: Sequence[LoggedEvent]) -> None:
        """Start behind offset `after` with the events that follow it, which the pump has remembered."""
        self.recovered, self.offset, self.epoch = True, after, epoch
        self._last = after
        self.head = events[-1].offset if events else after
        self._take_over(events, self.head, self._marks)

    async def receive(self) -> list[LoggedEvent]:
        """Wait for events; return at least one. Cancelling it loses nothing.

        Raises:
            FollowerTooSlow: let the reader go; it may resume by offset.
            LogLost: call `resume`; it will say `recovered = False`.
            HubStopped: there will be no more.
            NotFound: the session is gone.
        """
        attempt = 0
        while True:
            if self._overflowed:
                raise FollowerTooSlow
            if self._outbox:
                return self._outbox.take(BATCH)
            if not self._behind:
                if self._ended:
                    raise HubStopped
                await self._sleep()
                continue
            try:
                await self._catch_up()
            except StoreUnavailable:
                if self._ended:
                    raise HubStopped from None
                # The log says what was missed as soon as it is there again: told by the pump, or found out.
                with trio.move_on_after(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]):
                    await self._sleep()
                attempt += 1

    def at_hand(self) -> list[LoggedEvent]:
        """Return the events that wait already, as `receive` would; none where there are none."""
        return [] if self._overflowed else self._outbox.take(BATCH)

    async def until(self, names: Collection[str]) -> None:
        """Wait for an event of one of these names, or until one may have been missed; the caller looks what it is.

        Raises:
            HubStopped: there will be no more.
            NotFound: the session is gone.
        """
        while True:
            try:
                if any(event.name in names for event in await self.receive()):
                    return
            except (FollowerTooSlow, LogLost):
                self._overflowed = False
                await self.resume(None, None)
                return

    def push(self, event: LoggedEvent) -> None:
        """Take a published event (the pump's side); `hand_out` is to follow."""
        if self._behind or event.epoch != self.epoch or event.offset > self._last + 1:
            self._behind = True
            self._seen = max(self._seen, event.offset)
        elif event.offset <= self._last or self._overflowed:
            return
        elif self._outbox.push(event):
            self._last = event.offset
        else:
            self._overflowed = True
            self._outbox.clear()
            if self._on_overflow is not None:
                self._on_overflow()

    def hand_out(self) -> None:
        """Let the reader have what was pushed (the pump's side)."""
        if self._wake is None or self._wake.is_set():
            return  # it takes everything when it next asks
        if self._pass_on is not None and self._outbox and not (self._behind or self._overflowed):
            waiting = self._outbox.first(BATCH + 1)
            if len(waiting) <= BATCH and self._pass_on(waiting):
                self._outbox.clear()
                return
        self._rouse()

    def mark(self) -> None:
        """Events may have been missed (the pump's side): look into the log."""
        self._marks += 1
        self._behind = True
        self._rouse()

    def end(self) -> None:
        """Nothing more will be pushed (the pump's side): what is in the log is all that the reader gets."""
        self._ended = True
        self.mark()

    async def _catch_up(self) -> None:
        marks = self._marks
        self._seen = 0  # what was published before now is in the log by now
        head, epoch = await self._log.head(self._tenant_id, self._session_id)
        if head < self._last and epoch == self.epoch:
            # Others may hold offsets that are about to be given again: from now on those are of an epoch that is over.
            await self._log.renew_epoch(self._tenant_id, self._session_id, self._last, epoch)
        if epoch != self.epoch or head < self._last:
            raise LogLost
        page: list[LoggedEvent] = []
        if head > self._last:
            found = await self._read(self._last)
            if found is None:
                raise LogLost
            if not found or found[0].offset != self._last + 1:
                raise FollowerTooSlow
            page = found
        self._take_over(page, head, marks)

    async def _read(self, after: int) -> list[LoggedEvent] | None:
        """Read what follows an offset; None where some of it is damaged, which is logged: it is as good as lost."""
        try:
            return await self._log.read(self._tenant_id, self._session_id, after=after, limit=self._capacity)
        except TenantDamaged as damage:
            _logger.error("record.damaged", error=damage.reason)
            return None

    def _take_over(self, page: Sequence[LoggedEvent], head: int, marks: int) -> None:
        """Put what was read into the outbox; live again if that reaches everything known to be there."""
        for event in page:
            if not self._outbox.push(event):
                break
            self._last = event.offset
        self._behind = self._last < max(head, self._seen) or marks != self._marks

    async def _sleep(self) -> None:
        self._wake = trio.Event()
        try:
            await self._wake.wait()
        finally:
            self._wake = None

    def _rouse(self) -> None:
        if self._wake is not None:
            self._wake.set()
