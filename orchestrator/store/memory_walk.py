"""How much memory the keys of each tenant take, as Redis counts it: a walk over all keys, a few at a time.

All processes share the walk. Of two that take the same step at once, one counts.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog
from attrs import frozen

from orchestrator.errors import TenantDamaged
from orchestrator.store.records import reading
from orchestrator.store.redis.errors import NotPermitted
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_ADVANCE: Final = Script("operations/advance_walk")
_NOTE: Final = Script("operations/note_measured")
_CURSOR: Final = ":cursor"
_MOMENT: Final = ":moment"
_SERVICE: Final = b"orchestrator"
_OF_NO_TENANT: Final = frozenset(
    {b"address", b"admin", b"api_keys", b"audit", b"doubts", b"due", b"generation", b"memory_walk", b"nodes", b"probe",
     b"ready", b"replies", b"revocations", b"system", b"task_news", b"tenants", b"ticket"}
)  # fmt: skip
"""Second parts of keys whose third part is no tenant; `audit` has some of tenants too."""

_log = structlog.get_logger(__name__)


@frozen
class WalkStep:
    """What a step of the walk has come to."""

    totals: Mapping[str, int] | None = None
    """At the end of the walk, the bytes of all tenants that have keys."""
    refusal: str | None = None
    """Redis' words, where its user may not ask for the sizes of keys."""


@frozen
class MemoryWalk(TenantStore):
    """Measures what tenants keep.

    Args:
        keys_at_once: how many keys a step looks at, about.
        pause_ms: between two steps, of whichever processes.
    """

    keys_at_once: int = 5000
    pause_ms: int = 1000

    async def go_on(self) -> WalkStep:
        """Take a step of the walk, unless the last one was taken just now; one whose place is damaged begins anew."""
        try:
            with reading("walk", "over all keys"):
                return await self._step()
        except TenantDamaged as damage:
            _log.error("record.damaged", error=damage.reason)
            await self.redis.delete(self.keys.memory_walk)
            return WalkStep()

    async def _step(self) -> WalkStep:
        begun, moment = await self.redis.hmget(self.keys.memory_walk, _CURSOR, _MOMENT)
        now = await self.now_ms()
        if moment is not None and abs(now - int(moment)) < self.pause_ms:
            return WalkStep()
        try:
            following, names = await self.redis.scan(int(begun or 0), count=self.keys_at_once)
            owners = [(owner, name) for name in names if (owner := _tenant_of(name)) is not None]
            sizes = await self.redis.gather([("MEMORY", "USAGE", name) for _, name in owners])
        except NotPermitted as denied:
            return WalkStep(refusal=denied.reason)
        step: Counter[str] = Counter()
        for (owner, _), size in zip(owners, sizes, strict=True):
            step[owner] += size or 0
        args = [begun or b"", following, now, *(part for pair in step.items() for part in pair)]
        totals = await _ADVANCE(self.redis, keys=[self.keys.memory_walk], args=args)
        if not totals:
            return WalkStep()
        pairs = zip(totals[::2], totals[1::2], strict=True)
        return WalkStep({name.decode(): int(size) for name, size in pairs if not name.startswith(b":")})

    async def note(self, tenant_id: str, size: int) -> None:
        """Have this many bytes be what a tenant keeps now; what comes and goes from now on is counted on top."""
        await self.run(_NOTE, tenant_id, size)


def _tenant_of(key: bytes) -> str | None:
    """Return the tenant that a key belongs to, None where it is of none."""
    parts = key.split(b":", 4)
    if parts[0] != _SERVICE:
        # A service's queue; other keys are none of ours.
        owner = parts[2] if len(parts) == 3 and parts[1] == b"tasks" else b""
    elif parts[1:3] == [b"audit", b"tenant"] and len(parts) > 3:
        owner = parts[3]
    else:
        owner = parts[2] if len(parts) > 2 and parts[1] not in _OF_NO_TENANT else b""
    return owner.strip(b"{}").decode(errors="replace") or None
