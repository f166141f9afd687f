"""Which tenants have something due later, such as a delayed task, and when. It goes by Redis' clock alone."""

from typing import Final

import trio
from attrs import define, field

from orchestrator.models.common.ids import read_id
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

_TAKE: Final = Script("scheduling/take_due")
_MARK: Final = Script("scheduling/mark_due")
_AT_ONCE: Final = 100


@define
class DueTenants:
    """Tenants by the moment (ms) of what is due next."""

    redis: Redis
    keys: Keys
    _changed: trio.Event = field(factory=trio.Event, init=False)

    @on_shared_keys
    async def mark(self, tenant_id: str, moment_ms: int) -> None:
        """Say that a tenant has something that is due at `moment_ms` by Redis' clock, or earlier."""
        await _MARK(self.redis, keys=[self.keys.due], args=[tenant_id, moment_ms, ""])
        self._changed.set()

    @on_shared_keys
    async def mark_in(self, tenant_id: str, delay_ms: int) -> None:
        """Say that a tenant has something that is due in `delay_ms` from now, or earlier."""
        await _MARK(self.redis, keys=[self.keys.due], args=[tenant_id, "", delay_ms])
        self._changed.set()

    @on_shared_keys
    async def take(self) -> tuple[list[str], float | None]:
        """Take out the tenants that have something due; returns them, and the seconds until the next, if any."""
        wait_ms, *tenants = await _TAKE(self.redis, keys=[self.keys.due], args=[_AT_ONCE])
        names = self.redis.unreadable.read_all(self.keys.due, read_id, tenants)
        return names, None if wait_ms < 0 else wait_ms / 1000

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until something was delayed by this process."""
        with trio.move_on_after(seconds):
            await self._changed.wait()
        self._changed = trio.Event()
