"""The keeper: says that this process lives, renews its leases, and takes over the tasks of processes that are gone."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.errors import FencedOut, StoreUnavailable
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.external_entries import import_entry
from orchestrator.queue.worker.load_report import LoadReporter
from orchestrator.services.shared.nursery import open_joined_nursery
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.tasks.claims import Claim, Silence

_log = structlog.get_logger()

_BEATS_A_TIMEOUT: Final = 3
_RENEWALS_A_LEASE: Final = 3
_TAKEN_AT_ONCE: Final = 32


@define(eq=False)
class Leases:
    """Keeps what this process holds, and adopts what others have left."""

    services: QueueServices
    running_tasks: dict[str, RunningTask]
    take: Callable[[Claim, trio.Nursery], None]
    meter: LoadReporter
    workers: trio.Nursery | None = field(default=None, init=False)
    _taking: trio.Lock = field(factory=trio.Lock, init=False)
    """Held while tasks are taken over or back, so that neither takes for lost what the other is being handed."""
    _unsure: set[str] = field(factory=set, init=False)
    _patient_until: float = field(default=0.0, init=False)

    async def beat(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Beat, and adopt from processes without heartbeat, for ever; `started` after the first beat."""
        timeout, begun = self.services.settings.node_timeout, False
        while True:
            began = trio.current_time()
            try:
                load = self.meter.read(running.claim.tenant_id for running in self.running_tasks.values())
                gone = await self.services.nodes.beat(self.services.node, round(timeout * 1000), load)
                if not begun:
                    begun = True
                    task_status.started()
                if gone and trio.current_time() >= self._patient_until:
                    for node in gone:
                        await self._adopt_from(node)
            except StoreUnavailable:
                # After Redis was away every process looks silent: give all of them time to be heard again.
                self._patient_until = trio.current_time() + timeout
                raise
            await trio.sleep_until(began + timeout / _BEATS_A_TIMEOUT)

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
                if await self.adopt(tenant_id, silence_ms=1, gone=gone):
                    return
        await self.services.nodes.leave(gone)
        _log.warning("node.gone", gone=gone)

    async def adopt(self, tenant_id: str, *, silence_ms: int, gone: str | None = None) -> bool:
        """Take over a tenant's silent tasks, as far as there are slots; says whether there may be more."""
        while self.workers is not None:
            if self._free_slots() <= 0:
                return True
            with trio.CancelScope(shield=True):
                more = await self._take_over(Silence(tenant_id, silence_ms, gone))
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
                more = await self._take_over(Silence(tenant_id, 0, self.services.node))
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

    async def _take_over(self, silence: Silence) -> bool:
        """Take over tasks once; says whether there may be more."""
        tenant_id, node, count = silence.tenant_id, self.services.node, min(self._free_slots(), _TAKEN_AT_ONCE)
        with self.doubting(tenant_id):
            async with self._taking:
                own = [one.claim for one in self.running_tasks.values() if one.claim.tenant_id == tenant_id]
                claims, external_entries, more = await self.services.tasks.take_over(
                    node, count, silence, own if silence.owner == node else ()
                )
                for claim in claims:
                    if stale := self.running_tasks.get(claim.task_id):
                        stale.stop(StopReason.LOST)
                    _log.info("task.taken_over", tenant_id=tenant_id, task_id=claim.task_id, attempt=claim.attempt)
                    await self._begin(claim)
                for external_entry in external_entries:
                    await import_entry(self.services, external_entry)
        return more

    def _free_slots(self) -> int:
        return self.services.settings.concurrency - len(self.running_tasks)

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
