"""The consumer: claims tasks of all tenants, runs them, keeps their leases, and takes over what others have lost.

    run ─┬─ keeper (heartbeat, leases), listener (wake-ups, cancellations), sweeper, timers      outlive the workers
         └─ workers ─┬─ scheduler
                     └─ one task each

On a stop the scheduler ends first; what runs may finish until the drain timeout; what has not finished by then is
handed back to its lane, for any process to go on with at once.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.errors import FencedOut, StoreUnavailable
from orchestrator.queue.hand import Hand, StopReason
from orchestrator.queue.keeper import Keeper
from orchestrator.queue.listener import listen
from orchestrator.queue.services import QueueServices
from orchestrator.queue.sweeper import Sweeper
from orchestrator.queue.timers import run_timers
from orchestrator.store.tasks import Claim

_log = structlog.get_logger()

Handler = Callable[[Hand], Awaitable[None]]
"""Runs a claimed task to its end, and ends it in the store; stopped from outside, it settles what is to be settled."""

_TENANTS_A_ROUND: Final = 16
_GOODBYE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5


@define(eq=False)
class Consumer:
    """Runs tasks.

    Args:
        services: what it works with.
        handler: what runs a task.
    """

    services: QueueServices
    handler: Handler
    hands: dict[str, Hand] = field(factory=dict, init=False)
    alive: bool = field(default=False, init=False)
    _freed: trio.Event = field(factory=trio.Event, init=False)

    async def run(self, stopping: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Consume until `stopping` is set and everything in hand has been settled."""
        services = self.services
        keeper = Keeper(services, self.hands, self._take)
        async with trio.open_nursery() as background:
            await background.start(listen, services, self.hands)
            background.start_soon(run_timers, services)
            async with trio.open_nursery() as workers:
                keeper.workers = workers
                background.start_soon(keeper.run)
                background.start_soon(Sweeper(services, self._free_slots, keeper.adopt).run)
                workers.start_soon(self._schedule, stopping, workers)
                self.alive = True
                task_status.started()
                await stopping.wait()
                keeper.workers = None
                await self._drain()
            self.alive = False
            with trio.move_on_after(_GOODBYE_SECONDS):
                await services.nodes.leave(services.node)
            background.cancel_scope.cancel()

    def _free_slots(self) -> int:
        return self.services.settings.concurrency - len(self.hands)

    async def _drain(self) -> None:
        """Let what runs finish in time, then hand the rest back."""
        with trio.move_on_after(self.services.settings.drain_timeout):
            while self.hands:
                await self._slot_freed()
        for hand in list(self.hands.values()):
            hand.stop(StopReason.HANDED_BACK)

    async def _schedule(self, stopping: trio.Event, workers: trio.Nursery) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when, stopping, nursery.cancel_scope)
            while True:
                try:
                    await self._round(workers)
                except StoreUnavailable as error:
                    _log.warning("consumer.store_unavailable", error=error.message)
                    await trio.sleep(_RETRY_SECONDS)

    async def _round(self, workers: trio.Nursery) -> None:
        """Serve the tenants whose turn it is; waits where there is nothing to do or no slot."""
        while self._free_slots() <= 0:
            await self._slot_freed()
        # From here on nothing may be cancelled half-way: a claimed task must come into a worker's hands.
        with trio.CancelScope(shield=True):
            tenants = await self.services.ready.take(min(self._free_slots(), _TENANTS_A_ROUND))
            share = max(1, self._free_slots() // max(1, len(tenants)))
            if len(tenants) == 1:
                await self._claim(tenants[0], share, workers)
            else:
                async with trio.open_nursery() as nursery:
                    for tenant_id in tenants:
                        nursery.start_soon(self._claim, tenant_id, share, workers)
        if not tenants:
            await self.services.ready.wait()

    async def _claim(self, tenant_id: str, share: int, workers: trio.Nursery) -> None:
        claims, more = await self.services.tasks.claim(tenant_id, self.services.node, share)
        for claim in claims:
            self._take(claim, workers)
        if more:
            await self.services.ready.mark(tenant_id, after_turn=True)

    def _take(self, claim: Claim, workers: trio.Nursery) -> None:
        hand = Hand(claim)
        self.hands[claim.task_id] = hand
        workers.start_soon(self._work, hand)

    async def _work(self, hand: Hand) -> None:
        claim = hand.claim
        log = _log.bind(tenant_id=claim.tenant_id, task_id=claim.task_id, attempt=claim.attempt)
        try:
            await self.handler(hand)
        except FencedOut:
            log.warning("task.fenced")
        except StoreUnavailable as error:
            # Whatever was to be written is not; the lease runs out, and the task is taken over.
            log.warning("task.store_unavailable", error=error.message)
        except Exception:
            log.exception("task.crashed")
        finally:
            if self.hands.get(claim.task_id) is hand:
                del self.hands[claim.task_id]
            self._freed.set()

    async def _slot_freed(self) -> None:
        await self._freed.wait()
        self._freed = trio.Event()


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
