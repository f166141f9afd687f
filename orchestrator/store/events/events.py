"""The event log of a session, read side.

Scripts append to it (see `scripts/lib/common/events.lua`): a stream whose entry ids are `0-offset`, and a channel on
which each entry is published as it is appended. What is older may have been packed (`store.tasks.packing`): then it
stands in a list beside the stream.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, Final, Self, TypeVar

import orjson
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
from orchestrator.store.records import as_object, readable, reading
from orchestrator.store.redis.connection import Redis
from orchestrator.store.script import Script

T = TypeVar("T")

_RENEW_EPOCH: Final = Script("sessions/renew_epoch")
_READ: Final = Script("packing/read_log")
_WORD: Final = re.compile(r"[!#-\[\]-~]{1,64}")
"""The name of an event, or an epoch: both are written into frames and streams as they stand."""
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


def words_of(event: Event) -> dict[str, str]:
    """Return the words of what an event tells, by name: what those who follow decide by."""
    data: dict[str, Any] = orjson.loads(event.body)["data"]
    return {name: value for name, value in data.items() if isinstance(value, str)}


Each = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]
"""Reads the parts of a log, each by a function: all of them, or none where one can't be read; or those that can."""


@lru_cache(1024)
def _word(text: str) -> str:
    if _WORD.fullmatch(text) is None:
        raise ValueError("it is no word")
    return text


def _offset(raw: bytes) -> int:
    # Below what followers have seen at least, they would look into the log for ever.
    if not raw.isdigit():
        raise ValueError("it is no offset")
    return int(raw)


def _each(read: Callable[[Any], T], parts: Iterable[Any]) -> list[T]:
    return [read(part) for part in parts]


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
            return _offset(offset or b"0"), _word(epoch.decode())

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

    async def read(
        self, tenant_id: str, session_id: str, *, after: int, limit: int = 256, sound_only: bool = False
    ) -> list[LoggedEvent]:
        """Return up to `limit` events that follow offset `after`, oldest first.

        The first one's offset is greater than `after + 1` where the log has been cut in between.

        Args:
            tenant_id: whose session it is.
            session_id: the session.
            after: the offset.
            limit: how many at most.
            sound_only: leave out those that can't be read, which is logged.

        Raises:
            TenantDamaged: one of them can't be read.
            StoreUnavailable: Redis is away.
        """
        owner = self._owner(tenant_id, session_id)
        return await self._read_log(tenant_id, owner, session_id, after, limit, readable if sound_only else _each)

    async def _read_log(
        self, tenant_id: str, owner: str, owner_id: str, after: int, limit: int, each: Each = _each
    ) -> list[LoggedEvent]:
        """Read the log of an owner, which is a key; `each` reads its parts."""
        keys = [self._keys.lane(tenant_id, Lane.NORMAL), owner]
        packs, entries = await _READ(self._redis, keys=keys, args=[self._keys.tenant(tenant_id), 0, after, limit])
        found = [event for part in each(partial(self._read_pack, tenant_id, owner_id), packs) for event in part]
        found = [event for event in found if event.offset > after]
        found += each(partial(_read_entry, owner_id), entries)
        return each(partial(self.opened, tenant_id), found[:limit])

    def _read_pack(self, tenant_id: str, owner_id: str, pack: bytes) -> list[LoggedEvent]:
        with reading("event log", owner_id):
            return LoggedEvent.from_pack(pack, partial(self._contents.open, tenant_id, EVENT), owner_id)

    def published(self, tenant_id: str, payload: bytes, owner_id: str) -> LoggedEvent:
        """Read what was published of an event, `<offset> <epoch> <name>\\n<body>`; its body in clear.

        Raises:
            RecordDamaged: it is no event, or can't be opened.
        """
        with reading("event of", owner_id):
            head, _, body = payload.partition(b"\n")
            offset, epoch, name = head.decode().split(" ")
            # Opened before the event is made: to make it twice would cost more than to open it.
            opened = self._contents.open(tenant_id, EVENT, body)
            return self._sound(LoggedEvent(int(offset), epoch, name, opened, owner_id))

    def opened(self, tenant_id: str, event: LoggedEvent) -> LoggedEvent:
        """Return an event with its body in clear.

        Raises:
            RecordDamaged: it can't be opened, or is no event.
        """
        body = self._contents.open(tenant_id, EVENT, event.body)
        with reading("event", f"{event.offset} of {event.owner_id}"):
            return self._sound(event if body is event.body else evolve(event, body=body))

    def _sound(self, event: LoggedEvent) -> LoggedEvent:
        """Return an event that can be told as it stands; ValueError, LookupError, TypeError: it can't."""
        _word(event.epoch)
        _word(event.name)
        if not event.body.startswith(b"{"):
            raise ValueError("it is no object")
        self._look_into(orjson.loads(event.body))
        return event

    def _look_into(self, body: dict[str, Any]) -> None:
        """Look whether a body has what its readers rely on; LookupError, TypeError: it has not."""
        as_object(body["data"])

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.session(tenant_id, owner_id)


def _read_entry(owner_id: str, entry: Sequence[Any]) -> LoggedEvent:
    entry_id, flat = entry
    with reading("event log", owner_id):
        return LoggedEvent.from_entry(entry_id, dict(zip(flat[::2], flat[1::2], strict=True)), owner_id)


class BatchLog(EventLog):
    """Reads the event logs of batches."""

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.batch(tenant_id, owner_id)


class TaskLog(EventLog):
    """Reads the event logs of tasks that are no turns of a session."""

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.task(tenant_id, owner_id)
