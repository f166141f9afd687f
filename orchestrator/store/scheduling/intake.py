"""What other programs have written into lanes: one process finds it for all, at once, with a ring or without.

A blocking read waits on the lanes of many tenants at a time, and on the stream that writers may ring. It says only
which tenants have an entry that is no task yet: the claim takes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from attrs import define, field, frozen

from orchestrator.models.common.ids import read_id
from orchestrator.models.tasks.task import Lane
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Dedicated, Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.tenant_store import MOST_RINGS

LEAD_MS: Final = 10_000
"""After so long without a word of it, another process reads in the place of one that is gone."""
_START: Final = "0-0"
_SOUND: Final = frozenset({b"none", b"stream"})
"""Types of the key of a lane."""
_TASK: Final = b"task_id"
"""A field that entries of this service have, and those of others have not."""


@frozen
class LaneHead:
    """An entry of a lane that was not seen before."""

    tenant_id: str
    lane: str
    """Its key."""
    entry: str
    external: bool
    """Whether another program has written it."""


@frozen
class IntakeNews:
    """What a read has shown."""

    heads: Sequence[LaneHead] = ()
    rung: Sequence[str] = ()
    """Tenants for which a writer has rung."""
    ring: str = ""
    """The last ring."""


@define
class IntakeSlice:
    """Some tenants whose lanes are read together, and how far."""

    tenants: Sequence[str]
    seen: dict[str, str] = field(factory=dict)
    """The entry that was seen last, by lane."""


@frozen
class IntakeStore:
    """Reads lanes and rings."""

    redis: Redis
    keys: Keys

    @on_shared_keys
    async def lead(self, node: str) -> bool:
        """Tell whether a process reads for all; it asks again within `LEAD_MS`. Two that do for a moment do no harm."""
        key = self.keys.intake_reader
        if await self.redis.execute_command("SET", key, node, "NX", "PX", LEAD_MS):
            return True
        if await self.redis.execute_command("GET", key) != node.encode():
            return False
        await self.redis.execute_command("PEXPIRE", key, LEAD_MS)
        return True

    def connection(self) -> AbstractAsyncContextManager[Dedicated]:
        """Open a connection for reads that wait."""
        return self.redis.dedicated()

    async def read(
        self, own: Dedicated, part: IntakeSlice, *, ring: str, block_ms: int, passed_over: Iterable[str] = ()
    ) -> IntakeNews:
        """Wait for entries in the lanes of some tenants, and for rings; returns what is there after `block_ms` at most.

        Args:
            own: a connection for it.
            part: the tenants; how far it was read is noted there.
            ring: the last ring that was read; empty: rings are not read here.
            block_ms: how long to wait.
            passed_over: lanes that are not looked at this time.

        Raises:
            TenantDamaged: a lane is of the wrong type (`sound` finds it).
            StoreUnavailable
        """
        over = set(passed_over)
        places = {
            self.keys.lane(tenant_id, lane): tenant_id
            for tenant_id in part.tenants
            for lane in Lane
            if self.keys.lane(tenant_id, lane) not in over
        }
        streams = [*places, *([self.keys.intake] if ring else [])]
        after = [*(part.seen.get(lane, _START) for lane in places), *([ring] if ring else [])]
        if not streams:
            return IntakeNews()
        found = await own.execute_command("XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", *streams, *after)
        heads, rung = [], False
        for name, entry, fields in _entries(found):
            if name == self.keys.intake:
                rung = True
                continue
            part.seen[name] = entry
            heads.append(LaneHead(places[name], name, entry, _TASK not in fields))
        return await self._rung(heads, ring) if rung else IntakeNews(heads, ring=ring)

    async def sound(self, tenants: Sequence[str]) -> list[str]:
        """Return those tenants whose lanes are lanes, or are not there."""
        lanes = [(tenant_id, self.keys.lane(tenant_id, lane)) for tenant_id in tenants for lane in Lane]
        types = await self.redis.gather([("TYPE", lane) for _, lane in lanes])
        damaged = {tenant_id for (tenant_id, _), kind in zip(lanes, types, strict=True) if kind not in _SOUND}
        return [tenant_id for tenant_id in tenants if tenant_id not in damaged]

    @on_shared_keys
    async def last_ring(self) -> str:
        """Return the place of the last ring."""
        found = await self.redis.execute_command("XREVRANGE", self.keys.intake, "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else _START

    @on_shared_keys
    async def _rung(self, heads: Sequence[LaneHead], ring: str) -> IntakeNews:
        """Read all rings, and leave none behind."""
        found, _ = await self.redis.gather(
            [
                ("XRANGE", self.keys.intake, f"({ring}", "+", "COUNT", MOST_RINGS),
                ("XTRIM", self.keys.intake, "MAXLEN", "~", MOST_RINGS),
            ]
        )
        rung: list[str] = []
        for entry, values in found:
            ring = entry.decode()
            name = _mapping(values).get(b"tenant", b"")
            tenant_id = self.redis.unreadable.read(self.keys.intake, read_id, name)
            if tenant_id is not None and tenant_id not in rung:
                rung.append(tenant_id)
        return IntakeNews(heads, rung, ring)


def _entries(found: Any) -> Iterable[tuple[str, str, Mapping[bytes, bytes]]]:
    """Yield what XREAD has found: the stream, the entry, its fields."""
    for name, parts in (found or {}).items():
        for part in parts:
            for entry, values in part:
                yield name.decode(), entry.decode(), _mapping(values)


def _mapping(values: Any) -> Mapping[bytes, bytes]:
    if isinstance(values, Mapping):
        return values
    return dict(zip(values[::2], values[1::2], strict=True)) if values else {}
