"""The feed of a tenant: what happens in all of its logs, in one order, kept while it is followed.

It has references (see `scripts/lib/common/feed.lua`); the events are read from their own logs when they are sent.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from attrs import frozen

from orchestrator.codec import structure_kept
from orchestrator.errors import TenantDamaged
from orchestrator.models.common.ids import new_epoch
from orchestrator.models.tasks.task import Lane
from orchestrator.store.events.events import EventLog, LoggedEvent
from orchestrator.store.records import as_object, readable, reading
from orchestrator.store.script import Script

PIECE: Final = "feed.piece"
"""The name of a piece of an answer in a feed."""
FOLLOWED: Final = "feed:"
"""The name under which a feed is followed: none that a session could have."""
KEPT_SECONDS: Final = 3600
"""How long a feed is kept, and told, after it was last opened."""
PIECES_SECONDS: Final = 60
"""How long it has pieces of answers after it was last opened with them."""
_OPENED: Final = "feed.opened"
"""The name of the first event of a feed."""
_OPEN: Final = Script("sessions/open_feed")
_TELL: Final = Script("sessions/tell_feed")


@frozen
class Reference:
    """An entry of a feed."""

    kind: str
    """Of what it happened to: `session`, `task`, `batch`, or what has no log: `notice`, `notification`."""
    id: str
    epoch: str | None = None
    """Of the event's own log; None: the entry says all itself."""
    offset: int | None = None
    user_id: str | None = None
    """Whose it is."""
    at: str | None = None
    """When it was, where it is in no log."""
    data: Any = None

    def body(self) -> bytes:
        """Write the entry of what is in no log."""
        return orjson.dumps(
            {"kind": self.kind, "id": self.id, "user_id": self.user_id, "at": self.at, "data": self.data}
        )


@frozen
class Entry:
    """An entry of a feed, as it is followed."""

    event: LoggedEvent
    reference: Reference


def entries_of(events: Sequence[LoggedEvent]) -> list[Entry]:
    """Read the entries of a feed; those that can't be read are logged and left out, and its first event is none."""
    return readable(_entry, [event for event in events if event.name != _OPENED])


def _entry(event: LoggedEvent) -> Entry:
    with reading("entry of the feed", str(event.offset)):
        return Entry(event, structure_kept(orjson.loads(event.body), Reference))


class FeedLog(EventLog):
    """Opens, tells and reads the feeds of tenants."""

    async def open(self, tenant_id: str, *, pieces: bool = False) -> None:
        """Begin to have everything of a tenant told in its feed, or go on with it, for `KEPT_SECONDS`.

        Args:
            tenant_id: the tenant.
            pieces: whether pieces of answers are told too, for `PIECES_SECONDS`; false: as it was.

        Raises:
            TenantDamaged, StoreUnavailable
        """
        await self._run(_OPEN, tenant_id, new_epoch(), KEPT_SECONDS, PIECES_SECONDS * 1000 if pieces else 0)

    async def tell(self, tenant_id: str, name: str, entry: Reference) -> None:
        """Tell the feed of a tenant, if it is followed, of something that is in none of its logs.

        Raises:
            StoreUnavailable
        """
        await self._run(_TELL, tenant_id, name, entry.body())

    async def events_of(self, tenant_id: str, entries: Sequence[Reference]) -> list[LoggedEvent | None]:
        """Read the events of entries from their logs; None for one that is there no more, or can't be read.

        Raises:
            StoreUnavailable
        """
        # One of a kind that this version does not know is looked for among sessions, and not found.
        kinds = {"session": self._keys.session, "task": self._keys.task, "batch": self._keys.batch}
        owners = [kinds.get(entry.kind, self._keys.session)(tenant_id, entry.id) for entry in entries]
        commands = [
            ("XRANGE", f"{owner}:events", f"0-{entry.offset}", f"0-{entry.offset}")
            for owner, entry in zip(owners, entries, strict=True)
        ]
        replies = await self._redis.gather(commands, raise_on_error=False) if commands else []
        found = []
        for owner, entry, reply in zip(owners, entries, replies, strict=True):
            event = self._event(tenant_id, entry, reply)
            if event is None and not reply:
                event = await self._packed_event(tenant_id, entry, owner)
            found.append(event)
        return found

    async def _packed_event(self, tenant_id: str, entry: Reference, owner: str) -> LoggedEvent | None:
        """Read an event that is packed by now."""
        try:
            events = await self._read_log(tenant_id, owner, entry.id, (entry.offset or 1) - 1, 1)
        except TenantDamaged:
            return None
        return next((one for one in events if (one.offset, one.epoch) == (entry.offset, entry.epoch)), None)

    def _event(self, tenant_id: str, entry: Reference, reply: Any) -> LoggedEvent | None:
        if not reply or isinstance(reply, TenantDamaged):
            return None
        try:
            entry_id, fields = reply[0]
            pairs = dict(zip(fields[::2], fields[1::2], strict=True))
            event = self.opened(tenant_id, LoggedEvent.from_entry(entry_id, pairs))
        except (TenantDamaged, ValueError, LookupError):
            return None
        return event if event.epoch == entry.epoch else None

    async def _run(self, script: Script, tenant_id: str, *args: object) -> None:
        keys = [self._keys.lane(tenant_id, Lane.NORMAL)]
        await script(self._redis, keys=keys, args=[self._keys.tenant(tenant_id), 0, *args])

    def _owner(self, tenant_id: str, owner_id: str) -> str:
        return self._keys.feed(tenant_id)

    def _look_into(self, body: dict[str, Any]) -> None:
        as_object(body)
