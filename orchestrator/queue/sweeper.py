"""The sweeper: slowly looks over all tenants for what a lost message, a lost worker or idleness left lying."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
import trio
from attrs import frozen

from orchestrator.errors import StoreUnavailable
from orchestrator.models.task import Lane
from orchestrator.queue.damage import kept_apart
from orchestrator.queue.drains import advance_drain
from orchestrator.queue.expiry import give_up_expired
from orchestrator.queue.services import QueueServices

_log = structlog.get_logger()

_EVERY: Final = 5.0


class Adopt(Protocol):
    """Takes over a tenant's silent tasks."""

    def __call__(self, tenant_id: str, *, silence_ms: int) -> Awaitable[bool]: ...


@frozen
class Sweeper:
    """Finds work that nobody was woken for, leases that ran out, delayed tasks without timer, and idle sessions."""

    services: QueueServices
    free_slots: Callable[[], int]
    adopt: Adopt

    async def run(self) -> None:
        """Sweep every few seconds, for ever."""
        while True:
            try:
                depths = {}
                for tenant_id in await self.services.tenants():
                    with kept_apart(tenant_id):
                        depths[tenant_id] = await self._sweep(tenant_id)
                self.services.metrics.queue_depths(depths)
            except StoreUnavailable as error:
                _log.warning("sweeper.store_unavailable", error=error.message)
            await trio.sleep(_EVERY)

    async def _sweep(self, tenant_id: str) -> int:
        """Look over one tenant; returns how many tasks are in its lanes."""
        services, keys = self.services, self.services.keys
        *lengths, delayed, scheduled, state = await services.redis.gather(
            [
                *(("XLEN", keys.lane(tenant_id, lane)) for lane in Lane),
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
        return sum(lengths)
