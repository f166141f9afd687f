"""The scheduler: whose task is next.

A round is two steps: one script settles the round before and takes the tenants out whose turn is next; then each of
them is claimed from, in parallel, by a script of its own. No more is claimed than there are free slots.
"""

import math
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, field

from orchestrator.domain.tasks.fairness import Contender, distribute, room
from orchestrator.errors import StoreUnavailable
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.importer import Importer
from orchestrator.queue.worker.leases import Leases
from orchestrator.queue.worker.slots import Slots
from orchestrator.services.shared.nursery import open_joined_nursery
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.scheduling.ready import Settlement, Turn
from orchestrator.store.tasks.claims import Claim, ClaimBatch

TENANTS_A_ROUND: Final = 10
"""Few enough that a claim brings several tasks where there are many slots, whatever the number of tenants."""
_FEW: Final = 8
_EVERY: Final = 0.002
_AT_ONCE: Final = 0.02
"""Rounds that bring fewer than `_FEW` tasks come every 2 ms, after 20 ms' worth of them that come at once: who has
little to do starts everything at once, and who has much to do claims more with each script."""
_GATHERED: Final = 0.005
"""For so long a slot of a tenant that has its share stays free, until there are some for a claim: a claim costs much
the same for one task and for three. Only while the event loop is busy, and other tasks of the tenant keep it so."""


@define(eq=False)
class Scheduler:
    """Claims tasks for one process.

    Args:
        services: what it works with.
        slots: how many more tasks the process can run.
        in_hand: how many tasks of a tenant it runs.
        begin: runs a claimed task.
        importer: makes tasks of claimed entries of other programs.
        leases: takes back what was handed to the process by replies that were lost.
    """

    services: QueueServices
    slots: Slots
    in_hand: Callable[[str], int]
    begin: Callable[[Claim], None]
    importer: Importer
    leases: Leases
    _settlements: list[Settlement] = field(factory=list, init=False)
    _full: dict[str, float] = field(factory=dict, init=False)
    """Weights of tenants that have as many slots as they may at the moment; they may have work."""
    _held_up: bool = field(default=False, init=False)
    """Whether it waits for a slot."""
    _due: float = field(default=math.inf, init=False)
    """When to look at the tenants that had their share, since tasks have ended."""
    _patience: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """Of the wait for work, until it is due."""
    _begun: int = field(default=0, init=False)
    _paced: float = field(default=0.0, init=False)
    _works: Callable[[], None] | None = field(default=None, init=False)
    """Told, once, that turns could be taken."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Schedule, for ever; `started` when turns could be taken."""
        self._works = task_status.started
        while True:
            begun = self._begun
            await self._round()
            if self._begun - begun < _FEW:
                await self._pace()

    @property
    def wants_slots(self) -> bool:
        """Whether there may be tasks that could begin if there were more slots."""
        return self._held_up or bool(self._full)

    async def _pace(self) -> None:
        now = trio.current_time()
        self._paced = max(self._paced, now - _AT_ONCE) + _EVERY
        if self._paced > now:
            await trio.sleep_until(self._paced)

    def correct(self, tenant_id: str, cost: float) -> None:
        """Note that a task has cost more, or less, than the 1 that was reckoned when it was claimed."""
        self._settlements.append(Settlement(tenant_id, correction=cost - 1))

    def note_end(self) -> None:
        """Note that a slot is free again: a tenant that was at its share may have room."""
        if not self._full:
            return
        if self.slots.are_worth_a_claim:
            self.services.ready.wake()
        elif self._due == math.inf:
            self._patience.deadline = self._due = trio.current_time() + _GATHERED

    def _room(self, tenant_id: str, free: int, weight: float) -> int:
        return room(self.in_hand(tenant_id), free, self.services.settings.tenant_share, weight)

    async def _round(self) -> None:
        """Serve the tenants whose turn it is; waits where there is nothing to do, or no slot."""
        while self.slots.free <= 0:
            self._held_up = True
            await self.slots.change()
        self._held_up = False
        # From here on nothing may be cancelled half-way: a claimed task must come into a worker's hands.
        with trio.CancelScope(shield=True):
            free = self.slots.free
            settlements, self._settlements = self._settlements, []
            self._due = math.inf
            self._full = {one: weight for one, weight in self._full.items() if self._room(one, free, weight) <= 0}
            try:
                turns = await self.services.ready.take(
                    min(free, TENANTS_A_ROUND), settlements, passed_over=self._full.keys()
                )
            except StoreUnavailable:
                self._settlements[:0] = settlements
                raise
            await self._serve(turns, free)
            if self._works is not None:
                self._works()
                self._works = None
            # Last, so that what can't be taken back at present keeps no tenant from its turn.
            await self.leases.take_back()
        if not turns and not any(one.more for one in self._settlements):
            hint = None
            with trio.CancelScope(deadline=self._due) as self._patience:
                hint = await self.services.ready.wait()
            if hint is not None:
                await self._serve_at_once(hint)

    async def _serve(self, turns: list[Turn], free: int) -> None:
        shares = distribute([Contender(one.tenant_id, one.virtual_time, one.weight) for one in turns], free)
        for turn in turns:
            allowed = self._room(turn.tenant_id, free, turn.weight)
            share = shares[turn.tenant_id] = min(allowed, shares.get(turn.tenant_id, 0))
            free -= share
            if allowed <= share:
                self.slots.ask()
                self._full[turn.tenant_id] = turn.weight
        if len(turns) == 1:
            await self._claim(turns[0], shares[turns[0].tenant_id])
            return
        async with open_joined_nursery() as nursery:
            for turn in turns:
                nursery.start_soon(self._claim, turn, shares[turn.tenant_id])

    async def _serve_at_once(self, tenant_id: str) -> None:
        """Serve a tenant whose work has just come in, while no other tenant has any: its turn need not be asked for."""
        share = self._room(tenant_id, self.slots.free, 1.0)
        if share > 0:
            with trio.CancelScope(shield=True), isolate_tenant(tenant_id):
                batch = await self._begin(tenant_id, share)
                self._settlements.append(Settlement(tenant_id, correction=float(batch.read), more=batch.more))

    async def _begin(self, tenant_id: str, share: int) -> ClaimBatch:
        with self.leases.doubting(tenant_id):
            batch = await self.services.tasks.claim(tenant_id, self.services.node, share)
            self._begun += len(batch.claims)
            for claim in batch.claims:
                self.begin(claim)
            await self.importer.take(batch.external_entries)
        if batch.wait_ms:
            await self.services.due.mark_in(tenant_id, batch.wait_ms)
        return batch

    async def _claim(self, turn: Turn, share: int) -> None:
        """Claim a tenant's share; what it was served is settled with the next round, whatever happens here."""
        served, more = 0, True
        try:
            if share > 0:
                damaged = True
                with isolate_tenant(turn.tenant_id):
                    batch = await self._begin(turn.tenant_id, share)
                    damaged, served, more = False, batch.read, batch.more
                # The sweep tries again; at once would be for ever.
                more = more and not damaged
        finally:
            reached = turn.virtual_time + served / turn.weight
            self._settlements.append(Settlement(turn.tenant_id, reached, more=more))
