"""The event log of a session, read side.

Scripts append to it (see `scripts/lib/common/events.lua`): a stream whose entry ids are `0-offset`, and a channel on
which each entry is published as it is appended.
"""

from functools import cached_property
from secrets import token_hex
from typing import Any, Final, Self

import structlog
from attrs import frozen

from orchestrator.errors import NotFound
from orchestrator.models.events.events import Event
from orchestrator.models.tasks.task import Lane
from orchestrator.store.contents import EVENT, Contents
from orchestrator.store.events.frames import frame
from orchestrator.store.keys import Keys
from orchestrator.store.records import reading
from orchestrator.store.redis.connection import Redis
from orchestrator.store.script import Script

_RENEW_EPOCH: Final = Script("sessions/renew_epoch")
_log = structlog.get_logger("orchestrator.store.events")


@frozen
class LoggedEvent(Event):
    """An event with its frame, which is written once and shared by all who follow."""

    @cached_property
    def frame(self) -> bytes:
        """The JSON that clients get."""
        return frame(self)

    @classmethod
    def from_message(cls, payload: bytes) -> Self:
        """Read what is published: `<offset> <epoch> <name>\\n<body>`."""
        head, _, body = payload.partition(b"\n")
        offset, epoch, name = head.decode().split(" ")
        return cls(int(offset), epoch, name, body)

    @classmethod
    def from_entry(cls, entry_id: bytes, fields: dict[bytes, bytes]) -> Self:
        """Read an entry of the stream."""
        offset = int(entry_id.partition(b"-")[2])
        return cls(offset, fields[b"e"].decode(), fields[b"n"].decode(), fields[b"b"])


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
        renewed = await _RENEW_EPOCH(self._redis, keys=keys, args=[tenant, 0, offset, epoch, token_hex(4)])
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
        log = f"{self._owner(tenant_id, session_id)}:events"
        entries: Any = await self._redis.xrange(log, min=f"0-{after + 1}", max="+", count=limit)
        with reading("event log", session_id):
            events = [LoggedEvent.from_entry(entry_id, fields) for entry_id, fields in entries]
        return [self.opened(tenant_id, event) for event in events]

    def opened(self, tenant_id: str, event: LoggedEvent) -> LoggedEvent:
        """Return an event with its body in clear.

        Raises:
            RecordDamaged: it can't be opened.
        """
        body = self._contents.open(tenant_id, EVENT, event.body)
        return event if body is event.body else LoggedEvent(event.offset, event.epoch, event.name, body)

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
