"""The sweeper: slowly looks over all tenants for what a lost message, a lost worker or idleness left lying."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog
import trio
from attrs import frozen

from orchestrator.errors import StoreUnavailable
from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.tasks.task import Lane
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.drains import advance_drain
from orchestrator.queue.worker.expiry import give_up_expired
from orchestrator.services.shared.tenant_isolation import isolate_tenant

_log = structlog.get_logger()

_EVERY: Final = 5.0


class Adopt(Protocol):
    """Takes over a tenant's silent tasks."""

    def __call__(self, tenant_id: str, *, silence_ms: int) -> Awaitable[bool]: ...


@frozen
class SweptTenant:
    """What a look at a tenant has shown."""

    depth: int
    """Tasks in its lanes, those in hand included."""
    lag_seconds: float
    """How long the first one that waits has been there."""
    sessions: int
    """Those in use."""


@frozen
class Sweeper:
    """Finds work that nobody was woken for, leases that ran out, delayed tasks without timer, and idle sessions."""

    services: QueueServices
    free_slots: Callable[[], int]
    adopt: Adopt

    async def run(self) -> None:
        """Sweep every few seconds, for ever; the first time those are forgotten who have gone long ago."""
        forgotten = False
        while True:
            try:
                found: dict[str, SweptTenant] = {}
                for tenant_id in await self.services.tenants.names():
                    with isolate_tenant(tenant_id):
                        found[tenant_id] = await self._sweep(tenant_id)
                        if not forgotten:
                            await self.services.tasks.forget_workers(tenant_id)
                forgotten = True
                self._show(found)
            except StoreUnavailable as error:
                _log.warning("sweeper.store_unavailable", error=error.reason)
            await trio.sleep(_EVERY)

    def _show(self, found: Mapping[str, SweptTenant]) -> None:
        metrics = self.services.metrics
        metrics.queue_depths({tenant_id: one.depth for tenant_id, one in found.items()})
        metrics.queue_lags({tenant_id: one.lag_seconds for tenant_id, one in found.items()})
        metrics.active_sessions({tenant_id: one.sessions for tenant_id, one in found.items()})

    async def _sweep(self, tenant_id: str) -> SweptTenant:
        """Look over one tenant."""
        services, keys = self.services, self.services.keys
        used_since = now_ms() - round(services.settings.pause_after * 1000)
        *lengths, sessions, cursors, delayed, scheduled, state = await services.redis.gather(
            [
                *(("XLEN", keys.lane(tenant_id, lane)) for lane in Lane),
                ("ZCOUNT", keys.sessions(tenant_id), used_since, "+inf"),
                ("HMGET", keys.cursors(tenant_id), *Lane),
                ("ZRANGE", keys.delayed(tenant_id), 0, 0, "WITHSCORES"),
                ("ZRANGE", keys.schedules_due(tenant_id), 0, 0, "WITHSCORES"),
                ("HGET", keys.tenant_config(tenant_id), "state"),
            ]
        )
        if any(lengths):
            await services.ready.mark(tenant_id)
            await give_up_expired(services, tenant_id)
            if self.free_slots() > 0:
                await self.adopt(tenant_id, silence_ms=round(services.settings.lease * 1000))
        for _, moment in (*delayed, *scheduled):
            await services.due.mark(tenant_id, int(float(moment)))
        await advance_drain(services, tenant_id, state)
        await services.sessions.idle_moves(tenant_id)
        lag = await self._lag(tenant_id, cursors) if any(lengths) else 0.0
        return SweptTenant(sum(lengths), lag, sessions)

    async def _lag(self, tenant_id: str, cursors: Sequence[bytes | None]) -> float:
        """Return how long the first entry that nobody has claimed has been in its lane, in seconds."""
        heads = await self.services.redis.gather(
            [
                ("XRANGE", self.services.keys.lane(tenant_id, lane), b"(" + cursor if cursor else "-", "+", "COUNT", 1)
                for lane, cursor in zip(Lane, cursors, strict=True)
            ]
        )
        since = [int(entries[0][0].partition(b"-")[0]) for entries in heads if entries]
        return max(0, now_ms() - min(since)) / 1000 if since else 0.0
