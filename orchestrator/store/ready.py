"""Which tenants have work, and who is told of it."""

from typing import Final

import trio
from attrs import define, field

from orchestrator.store.connection import Redis
from orchestrator.store.keys import Keys
from orchestrator.store.scripts import Script

_MARK: Final = Script("mark_ready")


@define
class ReadyTenants:
    """The set of tenants with claimable work.

    A scheduler takes tenants out of the set, claims from each, and puts those that have more back at the end; work that
    comes in between puts its tenant back by itself, so no wake-up is lost. Schedulers elsewhere hear of it by a
    channel, the one in this process by `changed`.
    """

    redis: Redis
    keys: Keys
    _changed: trio.Event = field(factory=trio.Event, init=False)

    async def mark(self, tenant_id: str, *, after_turn: bool = False) -> None:
        """Say that a tenant has work.

        Args:
            tenant_id: the tenant.
            after_turn: the tenant has just been served and goes to the end.
        """
        added = await _MARK(
            self.redis, keys=[self.keys.ready], args=[tenant_id, self.keys.wake_channel, "1" if after_turn else "0"]
        )
        if added:
            self.wake()

    async def take(self, count: int) -> list[str]:
        """Take the tenants out whose turn it is."""
        rows = await self.redis.zpopmin(self.keys.ready, count)
        return [tenant.decode() for tenant, _ in rows]

    def wake(self) -> None:
        """Wake the scheduler of this process."""
        self._changed.set()

    async def wait(self) -> None:
        """Wait until there may be work."""
        await self._changed.wait()
        self._changed = trio.Event()
