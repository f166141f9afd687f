"""Which tenants have work, whose turn it is, and who is told of it."""

from collections.abc import Collection, Iterable
from typing import Final

import trio
from attrs import define, field, frozen

from orchestrator.models.common.ids import read_id
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis
from orchestrator.store.redis.shared_keys import on_shared_keys
from orchestrator.store.script import Script

_MARK: Final = Script("scheduling/mark_ready")
_TAKE: Final = Script("scheduling/take_ready")


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


@define(eq=False)
class _Marking:
    """A mark that is under way, or about to be."""

    ended: trio.Event = field(factory=trio.Event)
    done: bool = False


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
    _idle: bool = field(default=False, init=False)
    _passed_over: frozenset[str] = field(default=frozenset(), init=False)
    """Those that this process had no room for, when it took turns last."""
    _under_way: dict[str, _Marking] = field(factory=dict, init=False)
    _following: dict[str, _Marking] = field(factory=dict, init=False)

    def expect(self, tenant_id: str) -> bool:
        """Say that work of a tenant is about to be sent to Redis; returns whether a scheduler was told.

        A scheduler of this process that has nothing to do claims at once: its claim follows the admission on the same
        connection, so it need not wait to hear of it. Where nothing is admitted after all, it claims nothing.
        """
        idle = self._idle
        if idle:
            self.wake(tenant_id)
        return idle

    async def mark(self, tenant_id: str, *, expected: bool = False) -> None:
        """Say that a tenant has work.

        Where many say so at once, one of them says it for all that came before it was sent.

        Args:
            tenant_id: who has.
            expected: whether a scheduler of this process was told already (`expect`).
        """
        if not expected:
            self.wake(tenant_id)
        while (under_way := self._under_way.get(tenant_id)) is not None:
            # It may have been sent before this work came in: the one that follows it counts.
            following = self._following.get(tenant_id)
            if following is None:
                following = self._following[tenant_id] = _Marking()
                try:
                    await under_way.ended.wait()
                    await self._mark(tenant_id, following)
                finally:
                    if self._following.get(tenant_id) is following:
                        del self._following[tenant_id]
                    following.ended.set()
                return
            await following.ended.wait()
            if following.done:
                return
        await self._mark(tenant_id, _Marking())

    @on_shared_keys
    async def _mark(self, tenant_id: str, marking: _Marking) -> None:
        keys = self.keys
        if self._following.get(tenant_id) is marking:
            del self._following[tenant_id]
        self._under_way[tenant_id] = marking
        try:
            args = [tenant_id, keys.wake_channel]
            added = await _MARK(self.redis, keys=[keys.ready, keys.debts, keys.clock], args=args)
            marking.done = True
        finally:
            if self._under_way.get(tenant_id) is marking:
                del self._under_way[tenant_id]
            marking.ended.set()
        if added and tenant_id not in self._passed_over:
            self.wake()

    @on_shared_keys
    async def take(
        self, count: int, settlements: Iterable[Settlement] = (), *, passed_over: Collection[str] = ()
    ) -> list[Turn]:
        """Settle what was served, and take the tenants out whose turn is next.

        Args:
            count: how many to take.
            settlements: what was served.
            passed_over: tenants that stay, for other processes to take.
        """
        keys = self.keys
        self._passed_over = frozenset(passed_over)
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
        reply = await _TAKE(
            self.redis,
            keys=[keys.ready, keys.debts, keys.clock, keys.weights],
            args=[count, keys.wake_channel, len(passed_over), *passed_over, *settled],
        )
        turns = []
        for tenant, virtual_time, weight in zip(reply[::3], reply[1::3], reply[2::3], strict=True):
            if (tenant_id := self.redis.unreadable.read(keys.ready, read_id, tenant)) is not None:
                turns.append(Turn(tenant_id, float(virtual_time), float(weight)))
        return turns

    @on_shared_keys
    async def first(self, count: int) -> tuple[int, list[str]]:
        """Return how many tenants are ready, and the first of them."""
        total, names = await self.redis.gather([("ZCARD", self.keys.ready), ("ZRANGE", self.keys.ready, 0, count - 1)])
        return total, self.redis.unreadable.read_all(self.keys.ready, read_id, names)

    def wake(self, tenant_id: str | None = None) -> None:
        """Wake the scheduler of this process; `tenant_id` is who has work, where that is known.

        One that was passed over, since it has all that it may have in hand here, is looked at when a task ends.
        """
        if tenant_id in self._passed_over:
            return
        self._hint = tenant_id
        self._idle = False
        self._changed.set()

    async def wait(self) -> str | None:
        """Wait until there may be work; returns a tenant that has some, where it came in by this process."""
        self._idle = not self._changed.is_set()
        try:
            await self._changed.wait()
        finally:
            self._idle = False
        self._changed = trio.Event()
        hint, self._hint = self._hint, None
        return hint
