"""How a tenant stands, at a glance: what the sweep has to know to find what a lost message or worker left lying."""

from collections.abc import Sequence

from attrs import frozen

from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.operations.tenant import TenantState
from orchestrator.models.tasks.task import Lane
from orchestrator.store.records import moment
from orchestrator.store.tenant_store import TenantStore


@frozen
class TenantSurvey:
    """What a look at a tenant has shown."""

    depth: int
    """Tasks in its lanes, those that run included."""
    backlog: int
    """All that was accepted and is not done, wherever it stands."""
    sessions: int
    """Those in use."""
    due_ms: Sequence[int]
    """Moments at which something is due: its next delayed task, its next schedule."""
    draining: bool
    cursors: Sequence[bytes | None]
    """The entry that was claimed last of each lane."""


class TenantSurveys(TenantStore):
    """Looks at tenants."""

    async def look(self, tenant_id: str, *, used_within_ms: int) -> TenantSurvey:
        """Look at a tenant.

        Args:
            tenant_id: the tenant.
            used_within_ms: sessions that were active within this time are in use.

        Raises:
            TenantDamaged: one of the keys is of the wrong type.
            StoreUnavailable
        """
        keys = self.keys
        (
            *lengths,
            sessions,
            cursors,
            delayed,
            scheduled,
            state,
            later,
            parked,
            users,
            turns,
            items,
        ) = await self.redis.gather(
            [
                *(("XLEN", keys.lane(tenant_id, lane)) for lane in Lane),
                ("ZCOUNT", keys.sessions(tenant_id), now_ms() - used_within_ms, "+inf"),
                ("HMGET", keys.cursors(tenant_id), *Lane),
                ("ZRANGE", keys.delayed(tenant_id), 0, 0, "WITHSCORES"),
                ("ZRANGE", keys.schedules_due(tenant_id), 0, 0, "WITHSCORES"),
                ("HGET", keys.tenant_config(tenant_id), "state"),
                ("ZCARD", keys.delayed(tenant_id)),
                ("XLEN", keys.parked(tenant_id)),
                ("HGET", keys.users(tenant_id), ""),
                ("HGET", keys.turns_waiting(tenant_id), ""),
                ("HVALS", keys.batches_waiting(tenant_id)),
            ]
        )
        due_ms = [moment(score) for _, score in (*delayed, *scheduled)]
        backlog = sum(lengths) + later + parked + sum(max(0, moment(count)) for count in (users, turns, *items))
        return TenantSurvey(sum(lengths), backlog, sessions, due_ms, state == TenantState.DRAINING.encode(), cursors)

    async def lag_seconds(self, tenant_id: str, survey: TenantSurvey) -> float:
        """Return how long the first entry that was not claimed yet has been in its lane; 0 where there is none.

        Raises:
            TenantDamaged, StoreUnavailable
        """
        (seconds, microseconds), *heads = await self.redis.gather(
            [
                ("TIME",),
                *(
                    ("XRANGE", self.keys.lane(tenant_id, lane), b"(" + cursor if cursor else "-", "+", "COUNT", 1)
                    for lane, cursor in zip(Lane, survey.cursors, strict=True)
                ),
            ]
        )
        since = [int(entries[0][0].partition(b"-")[0]) for entries in heads if entries]
        now = int(seconds) * 1000 + int(microseconds) // 1000
        return max(0, now - min(since)) / 1000 if since else 0.0
