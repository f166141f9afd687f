"""Members of a tenant's lists for which there is no record, or not the one that the list is for."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from orchestrator.models.operations.consistency import Violation, ViolationKind
from orchestrator.store.consistency.derived import TenantRecords
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_STRANGERS: Final = Script("consistency/strangers")
_PART: Final = 200
_ENDED: Final = ("failed", "cancelled", "partial")


class StrangerStore(TenantStore):
    """Finds strangers in the lists of a tenant, and takes them out."""

    async def strangers(self, tenant_id: str, records: TenantRecords) -> list[Violation]:
        """Return what is left in the lists of a tenant; in between others may work."""
        found: list[Violation] = []
        part: list[tuple[str, str]] = []
        async for thing in self._listed(tenant_id, records):
            part.append(thing)
            if len(part) == _PART:
                found += await self._strangers(tenant_id, part, takes_out=False)
                part = []
        return found + await self._strangers(tenant_id, part, takes_out=False)

    async def take_out(self, tenant_id: str, fault: Violation) -> bool:
        """Take a stranger out of its list; tells whether it was still there."""
        name, _, member = fault.subject.partition(" ")
        return bool(await self._strangers(tenant_id, [(name, member)], takes_out=True))

    async def _strangers(
        self, tenant_id: str, things: Sequence[tuple[str, str]], *, takes_out: bool
    ) -> list[Violation]:
        if not things:
            return []
        flat = [word for thing in things for word in thing]
        rows = await self.run(_STRANGERS, tenant_id, "1" if takes_out else "0", *flat)
        return [
            Violation(ViolationKind.LEFT_IN_LIST, f"{_text(name)} {_text(member)}", f"is in a list, and {_text(says)}")
            for name, member, says in rows
        ]

    async def _listed(self, tenant_id: str, records: TenantRecords) -> AsyncIterator[tuple[str, str]]:
        """Yield the list and the member of what may be a stranger."""
        async for thing in self._in_sets(tenant_id, records):
            yield thing
        async for thing in self._beside(tenant_id, records):
            yield thing

    async def _in_sets(self, tenant_id: str, records: TenantRecords) -> AsyncIterator[tuple[str, str]]:
        """Yield what may be a stranger in a sorted set: in some of them what has a record can be one too."""
        keys, sessions, schedules = self.keys, records.sessions, records.schedules
        known = {"sessions": sessions, "batches": records.batches, "schedules": schedules, "due": schedules}
        lists = {
            "sessions": keys.sessions(tenant_id),
            "open": keys.open_sessions(tenant_id),
            "ended": keys.ended_sessions(tenant_id),
            "timers": keys.session_timers(tenant_id),
            "batches": keys.batches(tenant_id),
            "schedules": keys.schedules(tenant_id),
            "due": keys.schedules_due(tenant_id),
            **{status: keys.ended_index(tenant_id, status) for status in _ENDED},
        }
        for name, key in lists.items():
            async for member in self._members(key):
                if member not in known.get(name, ()):
                    yield name, member
        for user in sorted(records.listing):
            async for member in self._members(keys.user_sessions(tenant_id, user)):
                yield "user", f"{user} {member}"

    async def _beside(self, tenant_id: str, records: TenantRecords) -> AsyncIterator[tuple[str, str]]:
        """Yield what may be a stranger elsewhere: among what users wait for, and in batches and parked tasks."""
        keys = self.keys
        for user in sorted(records.behind):
            for raw in await self.redis.lrange(keys.user_tasks(tenant_id, user), 0, -1):
                yield "behind", f"{user} {_text(raw)}"
        for user in await self.redis.hkeys(keys.users(tenant_id)):
            if user:
                yield "first", _text(user)
        for batch_id in await self.redis.hkeys(keys.batches_waiting(tenant_id)):
            yield "items", _text(batch_id)
        for batch_id in sorted(records.batches):
            for place in await self.redis.smembers(keys.batch_window(tenant_id, batch_id)):
                yield "window", f"{batch_id} {_text(place)}"
        async for entry in self._entries(keys.parked(tenant_id)):
            yield "parked", entry

    async def _members(self, key: str) -> AsyncIterator[str]:
        cursor = 0
        while True:
            cursor, rows = await self.redis.zscan(key, cursor, count=_PART)
            for name, _ in rows:
                yield _text(name)
            if cursor == 0:
                return

    async def _entries(self, key: str) -> AsyncIterator[str]:
        after = "-"
        while True:
            entries = await self.redis.xrange(key, after, "+", _PART)
            for entry, _ in entries:
                yield _text(entry)
            if len(entries) < _PART:
                return
            after = f"({_text(entries[-1][0])}"


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
