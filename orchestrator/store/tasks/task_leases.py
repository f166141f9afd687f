"""Leases of tasks in Redis: renewed, found silent, taken over."""

from collections.abc import Sequence
from typing import Final

from orchestrator.models.tasks.task import Lane
from orchestrator.store.script import Script
from orchestrator.store.tasks.claims import Claim, SilentLease, read_claims
from orchestrator.store.tasks.enqueue import ExternalEntry
from orchestrator.store.tasks.task_records import TaskRecords

GROUP: Final = "orchestrator"
GONE_MS: Final = 3_600_000
_FIND_SILENT: Final = Script("leases/find_silent")
_TAKE_OVER: Final = Script("leases/take_over")
_RENEW: Final = Script("leases/renew")
_FORGET: Final = Script("scheduling/forget_readers")


class TaskLeases(TaskRecords):
    """The leases by which processes hold tasks."""

    async def silent_leases(
        self, tenant_id: str, count: int, *, silence_ms: int, holder: str = ""
    ) -> list[SilentLease]:
        """Return up to `count` leases of each lane that were not renewed for `silence_ms` by Redis' clock.

        Args:
            tenant_id: whose tasks.
            count: how many of each lane at most.
            silence_ms: the least silence.
            holder: the process that holds them; empty: any.
        """
        rows = await self.run(_FIND_SILENT, tenant_id, count, silence_ms, *([holder] if holder else []))
        return [
            SilentLease(lane.decode(), entry.decode(), holder.decode(errors="replace"), int(renewed), int(silence))
            for lane, entry, holder, renewed, silence in rows
        ]

    async def take_over(
        self, tenant_id: str, node: str, count: int, *, gone: str | None = None, leases: Sequence[SilentLease] = ()
    ) -> tuple[list[Claim], list[ExternalEntry], bool]:
        """Claim tasks of other processes; see `ClaimBatch`.

        Args:
            tenant_id: whose tasks.
            node: the process that takes them.
            count: how many at most.
            gone: a process that is dead: it loses whatever it holds.
            leases: leases that are lost; one that was renewed meanwhile is left alone.
        """
        parts = [part for one in leases for part in (one.lane, one.entry, one.holder, one.renewed_ms)]
        reply = await self.run(_TAKE_OVER, tenant_id, node, count, gone or "", *parts)
        return *read_claims(self.contents, tenant_id, reply[1:]), bool(reply[0])

    async def take_back(
        self, tenant_id: str, node: str, count: int, in_hand: Sequence[Claim]
    ) -> tuple[list[Claim], list[ExternalEntry], bool]:
        """Claim tasks again that `node` holds and does not have in hand; see `ClaimBatch`."""
        places = {(claim.record[b"lane"].decode(), claim.record[b"entry"].decode()) for claim in in_hand}
        held = await self.silent_leases(tenant_id, count + len(places), silence_ms=0, holder=node)
        lost = [one for one in held if (one.lane, one.entry) not in places]
        if not lost:
            return [], [], False
        return await self.take_over(tenant_id, node, count, leases=lost)

    async def renew(self, tenant_id: str, node: str, claims: Sequence[Claim]) -> set[str]:
        """Renew the leases of `claims`; returns the ids of those that another process has taken."""
        pairs = (part for claim in claims for part in (claim.task_id, claim.attempt))
        return {task_id.decode() for task_id in await self.run(_RENEW, tenant_id, node, *pairs)}

    async def forget_workers(self, tenant_id: str) -> int:
        """Forget the processes that were silent for `GONE_MS` and have nothing of a tenant in hand; returns how many.

        Each start of a process is a new consumer of each lane that it claims from, which Redis keeps for ever.
        """
        lanes = [self.keys.lane(tenant_id, lane) for lane in Lane]
        return sum([await _FORGET(self.redis, keys=[lane], args=[GROUP, GONE_MS]) for lane in lanes])
