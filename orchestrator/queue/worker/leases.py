"""The keeper: says that this process lives, renews its leases, and takes over the tasks of processes that are gone."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.domain.tasks.silence import SilenceWatch
from orchestrator.errors import FencedOut, StoreUnavailable
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.importer import Importer
from orchestrator.queue.worker.load_report import LoadReporter
from orchestrator.services.shared.nursery import open_joined_nursery
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.operations.nodes import Heartbeats
from orchestrator.store.tasks.claims import Claim, SilentLease
from orchestrator.store.tasks.enqueue import ExternalEntry

_log = structlog.get_logger()

_BEATS_A_TIMEOUT: Final = 3
_RENEWALS_A_LEASE: Final = 3
_TAKEN_AT_ONCE: Final = 32
_WATCHED: Final = 256
"""Silent leases of a tenant's lane that are watched at once."""
_SLACK_MS: Final = 100
"""Two readings of the moment at which a lease was renewed may differ by less."""


@define(eq=False)
class Leases:
    """Keeps what this process holds, and adopts what others have left."""

    services: QueueServices
    running_tasks: dict[str, RunningTask]
    take: Callable[[Claim, trio.Nursery], None]
    meter: LoadReporter
    importer: Importer
    workers: trio.Nursery | None = field(default=None, init=False)
    _heartbeats: SilenceWatch[str] = field(init=False)
    _silent: dict[str, SilenceWatch[tuple[str, str, str]]] = field(factory=dict, init=False)
    """By tenant: the leases that look lost."""
    _taking: trio.Lock = field(factory=trio.Lock, init=False)
    """Held while tasks are taken over or back, so that neither takes for lost what the other is being handed."""
    _unsure: set[str] = field(factory=set, init=False)
    """Tenants of which a reply was lost that may have handed out tasks."""

    def __attrs_post_init__(self) -> None:
        self._heartbeats = SilenceWatch(self.services.settings.node_timeout)

    async def beat(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Beat, and adopt from processes without heartbeat, for ever; `started` after the first beat."""
        timeout, begun = self.services.settings.node_timeout, False
        while True:
            began = trio.current_time()
            try:
                load = self.meter.read(running.claim.tenant_id for running in self.running_tasks.values())
                beats = await self.services.nodes.beat(self.services.node, load)
                if not begun:
                    begun = True
                    task_status.started()
                for node in self._gone(beats):
                    await self._adopt_from(node)
            except StoreUnavailable:
                # While Redis was away no process could be heard.
                self._heartbeats.begin_again(trio.current_time())
                raise
            await trio.sleep_until(began + timeout / _BEATS_A_TIMEOUT)

    def _gone(self, beats: Heartbeats) -> list[str]:
        """Return the other processes that have had no heartbeat for too long, by the steady clock of this one."""
        others = {node: moment for node, moment in beats.moments.items() if node != self.services.node}
        oldest = beats.now_ms - self.services.settings.node_timeout * 1000
        stale = frozenset(node for node, moment in others.items() if moment < oldest)
        return self._heartbeats.look(trio.current_time(), others, stale=stale)

    async def renew(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Renew leases, for ever; `started` after the first time."""
        begun = False
        while True:
            by_tenant: dict[str, list[Claim]] = defaultdict(list)
            for running in self.running_tasks.values():
                by_tenant[running.claim.tenant_id].append(running.claim)
            async with open_joined_nursery() as nursery:
                for tenant_id, claims in by_tenant.items():
                    nursery.start_soon(self._renew_tenant, tenant_id, claims)
            if not begun:
                begun = True
                task_status.started()
            await trio.sleep(self.services.settings.lease / _RENEWALS_A_LEASE)

    async def _renew_tenant(self, tenant_id: str, claims: list[Claim]) -> None:
        lost: set[str] = set()
        with isolate_tenant(tenant_id):
            lost = await self.services.tasks.renew(tenant_id, self.services.node, claims)
        for claim in claims:
            running = self.running_tasks.get(claim.task_id)
            # The task may have ended and come back to this very process meanwhile: that attempt is not lost.
            if claim.task_id in lost and running is not None and running.claim is claim:
                running.stop(StopReason.LOST)

    async def _adopt_from(self, gone: str) -> None:
        """Take over what a process left that is gone; when nothing is left, it is forgotten."""
        for tenant_id in await self.services.tenants.names():
            with isolate_tenant(tenant_id):
                if await self._take_over(tenant_id, gone=gone):
                    return
        await self.services.nodes.leave(gone)
        _log.warning("node.gone", gone=gone)

    async def adopt(self, tenant_id: str) -> None:
        """Take over the tasks of a tenant whose leases ran out, as far as there are slots.

        The clock of Redis alone does not tell that, since it may be set: a lease has run out when its last renewal is
        older than the lease by that clock, and stayed the same for half a lease by the steady clock of this process.
        Half a lease is more than the time between two renewals.
        """
        lease = self.services.settings.lease
        found = await self.services.tasks.silent_leases(tenant_id, _WATCHED, silence_ms=round(lease * 500))
        if not found:
            self._silent.pop(tenant_id, None)
            return
        watch = self._silent.setdefault(tenant_id, SilenceWatch(lease / 2, _SLACK_MS))
        quiet = set(watch.look(trio.current_time(), {one.place: one.renewed_ms for one in found}))
        lost = [one for one in found if one.place in quiet and one.silence_ms >= lease * 1000]
        if lost:
            await self._take_over(tenant_id, leases=lost)

    async def _take_over(self, tenant_id: str, *, gone: str | None = None, leases: Sequence[SilentLease] = ()) -> bool:
        """Take over a dead process's tasks, or those of lost leases; says whether there may be more."""
        while self.workers is not None:
            if self._free_slots() <= 0:
                return True
            with trio.CancelScope(shield=True), self.doubting(tenant_id):
                async with self._taking:
                    taken = await self.services.tasks.take_over(
                        tenant_id,
                        self.services.node,
                        min(self._free_slots(), _TAKEN_AT_ONCE),
                        gone=gone,
                        leases=leases,
                    )
                    more = await self._begin_all(taken)
            if not more:
                return False
        return True

    async def take_back(self) -> None:
        """Take tasks in hand that replies have handed to this process which were lost, as far as there are slots.

        No claim of the scheduler may be under way meanwhile, for its tasks are not in hand yet either.
        """
        for tenant_id in [*self._unsure]:
            if self._free_slots() <= 0:
                return
            more = False
            with isolate_tenant(tenant_id):
                async with self._taking:
                    in_hand = [one.claim for one in self.running_tasks.values() if one.claim.tenant_id == tenant_id]
                    count = min(self._free_slots(), _TAKEN_AT_ONCE)
                    taken = await self.services.tasks.take_back(tenant_id, self.services.node, count, in_hand)
                    more = await self._begin_all(taken)
            if not more:
                self._unsure.discard(tenant_id)

    @contextmanager
    def doubting(self, tenant_id: str) -> Iterator[None]:
        """Note, where the block is broken off, that tasks of a tenant may be this process's without its knowing."""
        try:
            yield
        except (StoreUnavailable, trio.Cancelled):
            self.doubt(tenant_id)
            raise

    def doubt(self, tenant_id: str) -> None:
        """Have a tenant's tasks that are this process's by Redis' account held against those in hand."""
        self._unsure.add(tenant_id)
        self.services.ready.wake()

    async def _begin_all(self, taken: tuple[list[Claim], list[ExternalEntry], bool]) -> bool:
        """Run what was taken; says whether there may be more."""
        claims, external_entries, more = taken
        for claim in claims:
            if stale := self.running_tasks.get(claim.task_id):
                stale.stop(StopReason.LOST)
            _log.info("task.taken_over", tenant_id=claim.tenant_id, task_id=claim.task_id, attempt=claim.attempt)
            await self._begin(claim)
        await self.importer.take(external_entries)
        return more

    def _free_slots(self) -> int:
        return self.services.settings.concurrency - len(self.running_tasks) - self.importer.in_hand

    async def _begin(self, claim: Claim) -> None:
        """Run a task that was taken over; if this process began to stop meanwhile, it goes on elsewhere."""
        if self.workers is not None:
            self.take(claim, self.workers)
            return
        try:
            await self.services.tasks.hand_back(claim)
        except FencedOut:
            _log.info("task.fenced", tenant_id=claim.tenant_id, task_id=claim.task_id, attempt=claim.attempt)
        await self.services.ready.mark(claim.tenant_id)
