"""The keeper: says that this process lives, renews its leases, and takes over the tasks of processes that are gone."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.domain.tasks.silence import SilenceWatch
from orchestrator.errors import FencedOut, StoreUnavailable
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.external_entries import import_entry
from orchestrator.queue.worker.load_report import LoadReporter
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.operations.nodes import Heartbeats
from orchestrator.store.tasks.claims import Claim, SilentLease

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
    workers: trio.Nursery | None = field(default=None, init=False)
    _heartbeats: SilenceWatch[str] = field(init=False)
    _silent: dict[str, SilenceWatch[tuple[str, str, str]]] = field(factory=dict, init=False)
    """By tenant: the leases that look lost."""

    def __attrs_post_init__(self) -> None:
        self._heartbeats = SilenceWatch(self.services.settings.node_timeout)

    async def run(self) -> None:
        """Beat, renew and adopt, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            nursery.start_soon(self._renew)

    async def _beat(self) -> None:
        timeout = self.services.settings.node_timeout
        while True:
            began = trio.current_time()
            try:
                load = self.meter.read(running.claim.tenant_id for running in self.running_tasks.values())
                for node in self._gone(await self.services.nodes.beat(self.services.node, load)):
                    await self._adopt_from(node)
            except StoreUnavailable as error:
                _log.warning("node.heartbeat_failed", error=error.reason)
                # While Redis was away no process could be heard.
                self._heartbeats.begin_again(trio.current_time())
            await trio.sleep_until(began + timeout / _BEATS_A_TIMEOUT)

    def _gone(self, beats: Heartbeats) -> list[str]:
        """Return the other processes that have had no heartbeat for too long, by the steady clock of this one."""
        others = {node: moment for node, moment in beats.moments.items() if node != self.services.node}
        oldest = beats.now_ms - self.services.settings.node_timeout * 1000
        stale = frozenset(node for node, moment in others.items() if moment < oldest)
        return self._heartbeats.look(trio.current_time(), others, stale=stale)

    async def _renew(self) -> None:
        lease = self.services.settings.lease
        while True:
            await trio.sleep(lease / _RENEWALS_A_LEASE)
            by_tenant: dict[str, list[Claim]] = defaultdict(list)
            for running in self.running_tasks.values():
                by_tenant[running.claim.tenant_id].append(running.claim)
            try:
                async with trio.open_nursery() as nursery:
                    for tenant_id, claims in by_tenant.items():
                        nursery.start_soon(self._renew_tenant, tenant_id, claims)
            except* StoreUnavailable as group:
                _log.warning("lease.renewal_failed", error=str(group.exceptions[0]))

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
            free = self.services.settings.concurrency - len(self.running_tasks)
            if free <= 0:
                return True
            with trio.CancelScope(shield=True):
                claims, external_entries, more = await self.services.tasks.take_over(
                    tenant_id, self.services.node, min(free, _TAKEN_AT_ONCE), gone=gone, leases=leases
                )
                for claim in claims:
                    if stale := self.running_tasks.get(claim.task_id):
                        stale.stop(StopReason.LOST)
                    _log.info("task.taken_over", tenant_id=tenant_id, task_id=claim.task_id, attempt=claim.attempt)
                    await self._begin(claim)
                for external_entry in external_entries:
                    await import_entry(self.services, external_entry)
            if not more:
                return False
        return True

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
