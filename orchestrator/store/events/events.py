"""The event log of a session, read side.

Scripts append to it (see `scripts/lib/common/events.lua`): a stream whose entry ids are `0-offset`, and a channel on
which each entry is published as it is appended. What is older may have been packed (`store.tasks.packing`): then it
stands in a list beside the stream.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Final, Self

import structlog
from attrs import evolve, field, frozen

from orchestrator.errors import NotFound
from orchestrator.models.common.ids import new_epoch
from orchestrator.models.events.events import Event
from orchestrator.models.tasks.task import Lane
from orchestrator.store import packed
from orchestrator.store.contents import EVENT, Contents
from orchestrator.store.events.frames import frame
from orchestrator.store.keys import Keys
from orchestrator.store.records import reading
from orchestrator.store.redis.connection import Redis
from orchestrator.store.script import Script

_RENEW_EPOCH: Final = Script("sessions/renew_epoch")
_READ: Final = Script("packing/read_log")
_log = structlog.get_logger("orchestrator.store.events")


@frozen
class LoggedEvent(Event):
    """An event with its frames, which are written once and shared by all who follow."""

    owner_id: str = field(default="", eq=False)
    """In whose log it stands: a session, a batch, a task, the notifications of a user."""
    written: dict["FrameWriter", bytes] = field(factory=dict, init=False, eq=False, repr=False)
    """Its frames, by what has written them."""

    @cached_property
    def frame(self) -> bytes:
        """The JSON that clients get."""
        return frame(self)

    def written_by(self, write: "FrameWriter") -> bytes:
        """Return the frame in some dialect, which is written once for all who follow in it."""
        written = self.written.get(write)
        if written is None:
            written = self.written[write] = write(self)
        return written

    @classmethod
    def from_entry(cls, entry_id: bytes, fields: dict[bytes, bytes], owner_id: str = "") -> Self:
        """Read an entry of the stream."""
        offset = int(entry_id.partition(b"-")[2])
        return cls(offset, fields[b"e"].decode(), fields[b"n"].decode(), fields[b"b"], owner_id)

    @classmethod
    def from_pack(cls, pack: bytes, open_: Callable[[bytes], bytes], owner_id: str = "") -> list[Self]:
        """Read a pack: `<first offset> <last offset> <epoch>\\n<packed names and bodies>`, which `open_` opens."""
        head, _, rest = pack.partition(b"\n")
        first, _, epoch = head.decode().split(" ")
        events = packed.unpack_events(open_(rest))
        return [cls(int(first) + at, epoch, name.decode(), body, owner_id) for at, (name, body) in enumerate(events)]


def as_logged(event: LoggedEvent) -> bytes:
    """Write an event as it stands in its log."""
    return event.frame


FrameWriter = Callable[[LoggedEvent], bytes]
"""Writes an event as the clients of one dialect get it; given by the edges, which alone know dialects."""


class EventLog:
    """Reads the event logs of sessions; classes of their own read those of batches and tasks.

    Args:
        redis: the shared connection.
        keys: the names of keys.
        contents: opens the bodies of events.
    """

    def __init__(self, redis: Redis, keys: Keys, contents: Contents | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self._contents = contents or Contents()

    async def head(self, tenant_id: str, session_id: str) -> tuple[int, str]:
        """Return the offset of the last event (0: none yet) and the log's epoch.

        Raises:
            NotFound: there is no such session.
            TenantDamaged: its record can't be read.
            StoreUnavailable: Redis is away.
        """
        reply: list[Any] = await self._redis.hmget(self._owner(tenant_id, session_id), ["offset", "epoch"])
        offset, epoch = reply
        if epoch is None:
            raise NotFound(f"There is no session {session_id}.")
        with reading("event log", session_id):
            return int(offset or 0), epoch.decode()

    async def renew_epoch(self, tenant_id: str, session_id: str, offset: int, epoch: str = "") -> bool:
        """Give the log another epoch where it has lost its tail, as after a failover; returns whether it has lost it.

        Args:
            tenant_id: whose session it is.
            session_id: the session.
            offset: an offset that the log once had.
            epoch: the epoch of that offset; empty: the caller has seen the offset come again.

        Raises:
            StoreUnavailable: Redis is away.
        """
        keys = [self._keys.lane(tenant_id, Lane.NORMAL), self._owner(tenant_id, session_id)]
        tenant = self._keys.tenant(tenant_id)
        renewed = await _RENEW_EPOCH(self._redis, keys=keys, args=[tenant, 0, offset, epoch, new_epoch()])
        if renewed:
            _log.warning("events.tail_lost", tenant_id=tenant_id, owner_id=session_id, offset=offset)
        return bool(renewed)

    async def read(self, tenant_id: str, session_id: str, *, after: int, limit: int = 256) -> list[LoggedEvent]:
        """Return up to `limit` events that follow offset `after`, oldest first.

        The first one's offset is greater than `after + 1` where the log has been cut in between.

        Raises:
            TenantDamaged: one of them can't be read.
            StoreUnavailable: Redis is away.
        """
        return await self._read_log(tenant_id, self._owner(tenant_id, session_id), session_id, after, limit)

    async def _read_log(self, tenant_id: str, owner: str, owner_id: str, after: int, limit: int) -> list[LoggedEvent]:
        """Read the log of an owner, which is a key."""
        keys = [self._keys.lane(tenant_id, Lane.NORMAL), owner]
        packs, entries = await _READ(self._redis, keys=keys, args=[self._keys.tenant(tenant_id), 0, after, limit])
        open_ = partial(self._contents.open, tenant_id, EVENT)
        with reading("event log", owner_id):
            events = [event for pack in packs for event in LoggedEvent.from_pack(pack, open_, owner_id)]
            events = [event for event in events if event.offset > after]
            events += [
                LoggedEvent.from_entry(entry_id, dict(zip(flat[::2], flat[1::2], strict=True)), owner_id)
                for entry_id, flat in entries
            ]
        return [self.opened(tenant_id, event) for event in events[:limit]]

    def published(self, tenant_id: str, payload: bytes, owner_id: str) -> LoggedEvent:
        """Read what was published of an event, `<offset> <epoch> <name>\\n<body>`; its body in clear.

        Raises:
            ValueError: it is no event.
            RecordDamaged: it can't be opened.
        """
        head, _, body = payload.partition(b"\n")
        offset, epoch, name = head.decode().split(" ")
        # Opened before the event is made: to make it twice would cost more than to open it.
        return LoggedEvent(int(offset), epoch, name, self._contents.open(tenant_id, EVENT, body), owner_id)

    def opened(self, tenant_id: str, event: LoggedEvent) -> LoggedEvent:
        """Return an event with its body in clear.

        Raises:
            RecordDamaged: it can't be opened.
        """
        body = self._contents.open(tenant_id, EVENT, event.body)
        return event if body is event.body else evolve(event, body=body)

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.session(tenant_id, owner_id)


class BatchLog(EventLog):
    """Reads the event logs of batches."""

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.batch(tenant_id, owner_id)


class TaskLog(EventLog):
    """Reads the event logs of tasks that are no turns of a session."""

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.task(tenant_id, owner_id)
