"""Which tenants have delayed tasks, and when the next one is due."""

import trio
from attrs import define, field

from orchestrator.store.connection import Redis
from orchestrator.store.keys import Keys


@define
class DueTenants:
    """Tenants by the moment (ms) of their next delayed task."""

    redis: Redis
    keys: Keys
    _changed: trio.Event = field(factory=trio.Event, init=False)

    async def mark(self, tenant_id: str, moment_ms: int) -> None:
        """Say that a tenant has a task that is due at `moment_ms`, or earlier ones."""
        await self.redis.zadd(self.keys.due, {tenant_id: moment_ms}, lt=True)
        self._changed.set()

    async def take(self, now_ms: int) -> list[str]:
        """Take the tenants out that have something due."""
        due = await self.redis.zrangebyscore(self.keys.due, "-inf", now_ms, 0, 100)
        if due:
            await self.redis.zrem(self.keys.due, *due)
        return [tenant.decode() for tenant in due]

    async def next_moment(self) -> int | None:
        """Return the moment (ms) of the next delayed task."""
        rows = await self.redis.zrange(self.keys.due, 0, 0, withscores=True)
        return int(rows[0][1]) if rows else None

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until something was delayed by this process."""
        with trio.move_on_after(seconds):
            await self._changed.wait()
        self._changed = trio.Event()
