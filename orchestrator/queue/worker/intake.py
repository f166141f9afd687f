"""The intake: has entries of other programs claimed as soon as they are written, rather than by the next sweep.

One process reads for all. It waits on the lanes of all known tenants, in slices, on a bounded number of connections;
each entry that is no task yet marks its tenant as one with work. Writers may ring instead; for a new tenant they must.
"""

from collections.abc import Iterable
from typing import Final

import trio
from attrs import define, field

from orchestrator.errors import TenantDamaged
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.scheduling.intake import IntakeNews, IntakeSlice

CONNECTIONS: Final = 4
"""How many reads may wait at once, however many tenants there are."""
SLICE_TENANTS: Final = 500
"""Tenants of one read."""
HOT_LANES: Final = 64
"""So many lanes with entries at once are the traffic of this service: they are passed over for a while."""
_HOT_SECONDS: Final = 0.2
_BLOCK_MS: Final = 5000
_TURN_MS: Final = 25
"""How long a connection waits on each slice where it has several."""
_PAUSE_SECONDS: Final = 0.03
"""Between reads that have shown something: this service's own entries wake the reader too."""
_RENEW_SECONDS: Final = 3.0
_TENANTS_SECONDS: Final = 5.0


@define(eq=False)
class Intake:
    """Looks for entries of other programs."""

    services: QueueServices
    _slices: list[IntakeSlice] = field(factory=list, init=False)
    _watched: set[str] = field(factory=set, init=False)
    _hot: dict[str, float] = field(factory=dict, init=False)
    _ring: str = field(default="", init=False)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look for ever, where no other process does; `started` when that is known."""
        intake = self.services.intake
        while True:
            leads = await intake.lead(self.services.node)
            task_status.started()
            if leads:
                await self._lead()
            await trio.sleep(_RENEW_SECONDS)

    async def _lead(self) -> None:
        """Read until another process does."""
        self._ring = await self.services.intake.last_ring()
        self._slices, self._watched = [], set()
        self._watch(await self.services.tenants.names())
        async with trio.open_nursery() as nursery:
            readers = 0
            refreshed = trio.current_time()
            while await self.services.intake.lead(self.services.node):
                while readers < min(CONNECTIONS, max(1, len(self._slices))):
                    nursery.start_soon(self._read_slices, readers)
                    readers += 1
                await trio.sleep(_RENEW_SECONDS)
                if trio.current_time() - refreshed >= _TENANTS_SECONDS:
                    refreshed = trio.current_time()
                    self._watch(await self.services.tenants.names())
            nursery.cancel_scope.cancel()

    def _watch(self, tenants: Iterable[str]) -> None:
        """Have tenants watched that are not yet; those that were set aside are looked at again."""
        for tenant_id in tenants:
            if tenant_id in self._watched:
                continue
            self._watched.add(tenant_id)
            part = next((one for one in self._slices if len(one.tenants) < SLICE_TENANTS), None)
            if part is None:
                part = IntakeSlice([])
                self._slices.append(part)
            part.tenants = [*part.tenants, tenant_id]

    async def _read_slices(self, number: int) -> None:
        """Read every so manyth slice, one after the other; the first reader hears the rings too."""
        async with self.services.intake.connection() as own:
            while True:
                mine = self._slices[number::CONNECTIONS] or ([IntakeSlice([])] if number == 0 else [])
                if not mine:
                    await trio.sleep(_RENEW_SECONDS)
                for part in mine:
                    block_ms = _BLOCK_MS if len(mine) == 1 else _TURN_MS
                    try:
                        news = await self.services.intake.read(
                            own,
                            part,
                            ring=self._ring if number == 0 else "",
                            block_ms=block_ms,
                            passed_over=self._passed_over(),
                        )
                    except TenantDamaged:
                        await self._set_aside(part)
                        continue
                    await self._take(news)

    async def _take(self, news: IntakeNews) -> None:
        if not news.heads and news.ring in {"", self._ring}:
            return
        # Rings that can't be read are behind it too.
        self._ring = news.ring or self._ring
        if len(news.heads) > HOT_LANES:
            until = trio.current_time() + _HOT_SECONDS
            self._hot |= {head.lane: until for head in news.heads if not head.external}
        self._watch(news.rung)
        for tenant_id in {*news.rung, *(head.tenant_id for head in news.heads if head.external)}:
            with isolate_tenant(tenant_id):
                await self.services.tenants.note_tenant(tenant_id)
                await self.services.ready.mark(tenant_id)
        await trio.sleep(_PAUSE_SECONDS)

    def _passed_over(self) -> list[str]:
        now = trio.current_time()
        self._hot = {lane: until for lane, until in self._hot.items() if until > now}
        return list(self._hot)

    async def _set_aside(self, part: IntakeSlice) -> None:
        """Leave tenants out whose lanes are damaged, until the tenants are looked up again.

        Raises:
            StoreUnavailable: the stream of rings is damaged, which all share.
        """
        sound = await self.services.intake.sound(part.tenants)
        if len(sound) == len(part.tenants):
            await self.services.intake.last_ring()
            await trio.sleep(_PAUSE_SECONDS)
        self._watched -= set(part.tenants) - set(sound)
        part.tenants = sound
