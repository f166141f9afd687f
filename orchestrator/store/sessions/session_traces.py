"""What is kept of a session beside its record: for those who look why it stands as it does."""

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from orchestrator.models.common.ids import read_id
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.store.events.events import EventLog, LoggedEvent
from orchestrator.store.records import moment, reading
from orchestrator.store.tenant_store import TenantStore

_AT_ONCE: Final = 500
"""Tenants that are asked for a session in one go."""


@frozen
class SessionTrace:
    """What is kept of a session."""

    epoch: str
    offset: int
    """Of its event log."""
    events_kept: int
    last_events: Sequence[LoggedEvent]
    """The oldest first."""
    states: Sequence[bytes]
    """Its last transitions, JSON each, the newest first."""
    waiting_tasks: Sequence[str]
    """Those that wait for its active task, the oldest first."""
    messages_kept: int
    idle_move_at: str | None
    """The moment of its next idle transition."""
    forgotten_in_seconds: int | None
    """None: it does not expire."""


class SessionTraces(TenantStore):
    """Finds sessions, and reads what is kept of them."""

    async def read(self, tenant_id: str, session_id: str, *, events: int) -> SessionTrace:
        """Read what is kept of a session that is there.

        Args:
            tenant_id: whose it is.
            session_id: the session.
            events: how many events at most, the last ones.
        """
        keys, log_of = self.keys, EventLog(self.redis, self.keys, self.contents)
        record, log = keys.session(tenant_id, session_id), keys.events(tenant_id, session_id)
        marks, kept, oldest, states, waiting, messages, due, ttl = await self.redis.gather(
            [
                ("HMGET", record, "epoch", "offset"),
                ("XLEN", log),
                ("LINDEX", keys.events(tenant_id, session_id, packed=True), 0),
                ("LRANGE", keys.states(tenant_id, session_id), 0, -1),
                ("LRANGE", keys.turns(tenant_id, session_id), 0, -1),
                ("XLEN", keys.history(tenant_id, session_id)),
                ("ZSCORE", keys.session_timers(tenant_id), session_id),
                ("TTL", record),
            ]
        )
        with reading("session", session_id):
            offset = int(marks[1])
            after = max(0, offset - events)
            last = await log_of.read(tenant_id, session_id, after=after, limit=events, sound_only=True)
            return SessionTrace(
                epoch=marks[0].decode(),
                offset=offset,
                # Events have no gaps: all are there from the first one that was packed on.
                events_kept=kept if oldest is None else offset - int(oldest.partition(b" ")[0]) + 1,
                last_events=last,
                states=states,
                waiting_tasks=[task_id.decode() for task_id in waiting],
                messages_kept=messages,
                idle_move_at=None if due is None else to_timestamp(moment(due)),
                forgotten_in_seconds=None if ttl < 0 else ttl,
            )

    async def tenant_of(self, session_id: str) -> str | None:
        """Return the tenant that has a session with this id, the first by name; None: there is none."""
        tenants: list[str] = sorted(
            self.redis.unreadable.read_all(self.keys.tenants, read_id, await self.redis.smembers(self.keys.tenants))
        )
        for start in range(0, len(tenants), _AT_ONCE):
            asked = tenants[start : start + _AT_ONCE]
            found = await self.redis.gather(
                [("EXISTS", self.keys.session(tenant_id, session_id)) for tenant_id in asked]
            )
            for tenant_id, there in zip(asked, found, strict=True):
                if there:
                    return tenant_id
        return None
