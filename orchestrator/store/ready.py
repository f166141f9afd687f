"""Which tenants have work, whose turn it is, and who is told of it."""

from collections.abc import Iterable
from typing import Final

import trio
from attrs import define, field, frozen

from orchestrator.store.connection import Redis
from orchestrator.store.keys import Keys
from orchestrator.store.scripts import Script

_MARK: Final = Script("mark_ready")
_TAKE: Final = Script("take_ready")


@frozen
class Turn:
    """A tenant that was taken out to be served."""

    tenant_id: str
    virtual_time: float
    weight: float


@frozen
class Settlement:
    """What is known of a tenant after it was served.

    `reached` is its new virtual time; or None, where `correction` is a cost that was not reckoned with.
    """

    tenant_id: str
    reached: float | None = None
    correction: float = 0.0
    more: bool = False
    """Whether it may have more work."""


@define
class ReadyTenants:
    """The set of tenants with claimable work, by virtual time.

    A scheduler takes tenants out of the set, claims from each, and settles what it has served with its next call; work
    that comes in between puts its tenant back by itself, so no wake-up is lost. Schedulers elsewhere hear of it by a
    channel, the one in this process by `wake`.
    """

    redis: Redis
    keys: Keys
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _hint: str | None = field(default=None, init=False)

    async def mark(self, tenant_id: str) -> None:
        """Say that a tenant has work."""
        keys = self.keys
        self.wake(tenant_id)
        added = await _MARK(self.redis, keys=[keys.ready, keys.debts, keys.clock], args=[tenant_id, keys.wake_channel])
        if added:
            self.wake()

    async def take(self, count: int, settlements: Iterable[Settlement] = ()) -> list[Turn]:
        """Settle what was served, and take the tenants out whose turn is next."""
        keys = self.keys
        settled = (
            part
            for one in settlements
            for part in (
                one.tenant_id,
                "by" if one.reached is None else "at",
                repr(one.correction if one.reached is None else one.reached),
                "1" if one.more else "0",
            )
        )
        reply = await _TAKE(self.redis, keys=[keys.ready, keys.debts, keys.clock, keys.weights], args=[count, *settled])
        fields = [part.decode() for part in reply]
        return [
            Turn(tenant_id, float(time), float(weight))
            for tenant_id, time, weight in zip(fields[::3], fields[1::3], fields[2::3], strict=True)
        ]

    async def first(self, count: int) -> tuple[int, list[str]]:
        """Return how many tenants are ready, and the first of them."""
        total, names = await self.redis.gather([("ZCARD", self.keys.ready), ("ZRANGE", self.keys.ready, 0, count - 1)])
        return total, [name.decode() for name in names]

    def wake(self, tenant_id: str | None = None) -> None:
        """Wake the scheduler of this process; `tenant_id` is who has work, where that is known."""
        self._hint = tenant_id
        self._changed.set()

    async def wait(self) -> str | None:
        """Wait until there may be work; returns a tenant that has some, where it came in by this process."""
        await self._changed.wait()
        self._changed = trio.Event()
        hint, self._hint = self._hint, None
        return hint
