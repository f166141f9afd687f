"""The consumer: claims tasks of all tenants, runs them, keeps their leases, and takes over what others have lost.

    run ─┬─ keeper (heartbeat, leases), listener (wake-ups, cancellations), sweeper, timers      outlive the workers
         └─ workers ─┬─ scheduler
                     └─ one task each

On a stop the scheduler ends first; what runs may finish until the drain timeout; what has not finished by then is
handed back to its lane, for any process to go on with at once.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import structlog
import trio
from attrs import define, field

from orchestrator.errors import FencedOut, StoreUnavailable
from orchestrator.queue.attempts.damaged_tasks import settle_crash
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.leases import Leases
from orchestrator.queue.worker.listener import listen
from orchestrator.queue.worker.load_report import LoadReporter
from orchestrator.queue.worker.scheduler import Scheduler
from orchestrator.queue.worker.sweeper import Sweeper
from orchestrator.queue.worker.timers import RunSchedules, run_timers
from orchestrator.store.background_loops import Loop
from orchestrator.store.tasks.claims import Claim

_log = structlog.get_logger()

TaskHandler = Callable[[RunningTask], Awaitable[None]]
"""Runs a claimed task to its end, and ends it in the store; stopped from outside, it settles what is to be settled."""

_GOODBYE_SECONDS: Final = 5.0


@define(eq=False)
class Consumer:
    """Runs tasks.

    Args:
        services: what it works with.
        handler: what runs a task.
        run_schedules: what runs a tenant's schedules; None: nothing does.
    """

    services: QueueServices
    handler: TaskHandler
    run_schedules: RunSchedules | None = None
    running_tasks: dict[str, RunningTask] = field(factory=dict, init=False)
    alive: bool = field(default=False, init=False)
    meter: LoadReporter = field(init=False)
    _freed: trio.Event = field(factory=trio.Event, init=False)
    _scheduler: Scheduler | None = field(default=None, init=False)
    _leases: Leases | None = field(default=None, init=False)
    _by_tenant: Counter[str] = field(factory=Counter, init=False)
    """How many tasks of each tenant are in hand."""

    def __attrs_post_init__(self) -> None:
        own = self.services
        self.meter = LoadReporter(own.node, own.settings.concurrency, own.breakers, own.callee_breakers, own.open_calls)

    async def run(self, stopping: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Consume until `stopping` is set and everything in hand has been settled."""
        services, loops = self.services, self.services.loops
        timers = partial(run_timers, services, self.run_schedules)
        leases = self._leases = Leases(services, self.running_tasks, self._take, self.meter)
        async with trio.open_nursery() as background:
            await loops.start(background, Loop("listener", partial(listen, services, self.running_tasks)))
            background.start_soon(loops.keep, Loop("timers", timers, "timers.store_unavailable"))
            async with trio.open_nursery() as workers:
                leases.workers = workers
                sweeper = Sweeper(services, self._free_slots, leases.adopt)
                background.start_soon(loops.keep, Loop("heartbeat", leases.beat, "node.heartbeat_failed"))
                background.start_soon(loops.keep, Loop("leases", leases.renew, "lease.renewal_failed"))
                background.start_soon(loops.keep, Loop("sweeper", sweeper.run, "sweeper.store_unavailable"))
                scheduler = Scheduler(
                    services,
                    self._free_slots,
                    self._by_tenant.__getitem__,
                    self._slot_freed,
                    partial(self._take, workers=workers),
                    leases,
                )
                self._scheduler = scheduler
                async with trio.open_nursery() as scheduling:
                    scheduling.start_soon(loops.keep, Loop("scheduler", scheduler.run, "scheduler.store_unavailable"))
                    self.alive = True
                    task_status.started()
                    await stopping.wait()
                    leases.workers = None
                    scheduling.cancel_scope.cancel()
                # A round that was under way has ended by now: what it claimed is in hand, and drained with the rest.
                await self._drain()
            self.alive = False
            await self._say_goodbye()
            background.cancel_scope.cancel()

    async def _say_goodbye(self) -> None:
        """Leave the list of processes; where Redis is away, the others notice it by the missing heartbeat."""
        with trio.move_on_after(_GOODBYE_SECONDS):
            try:
                await self.services.nodes.leave(self.services.node)
            except StoreUnavailable as error:
                _log.warning("node.goodbye_failed", error=error.reason)

    def _free_slots(self) -> int:
        return self.services.settings.concurrency - len(self.running_tasks)

    async def _drain(self) -> None:
        """Let what runs finish in time, then hand the rest back."""
        with trio.move_on_after(self.services.settings.drain_timeout):
            while self.running_tasks:
                await self._slot_freed()
        for running in list(self.running_tasks.values()):
            running.stop(StopReason.HANDED_BACK)

    def _take(self, claim: Claim, workers: trio.Nursery) -> None:
        running = RunningTask(claim)
        self.running_tasks[claim.task_id] = running
        self._by_tenant[claim.tenant_id] += 1
        self.meter.note_claim(claim)
        workers.start_soon(self._work, running)

    async def _work(self, running: RunningTask) -> None:
        claim, began, unsure = running.claim, trio.current_time(), False
        try:
            await self.handler(running)
        except FencedOut:
            self.services.metrics.fenced()
            _log_of(claim).warning("task.fenced")
        except StoreUnavailable as error:
            # Whatever was to be written is not; the task is taken back as soon as Redis is there again.
            unsure = True
            _log_of(claim).warning("task.store_unavailable", error=error.reason)
        except Exception:  # noqa: BLE001 - the boundary of one task: logged, and the task is tried again or given up
            _log_of(claim).exception("task.crashed")
            await settle_crash(self.services, running)
        finally:
            took = trio.current_time() - began
            self.services.metrics.task_processed(took)
            if self.running_tasks.get(claim.task_id) is running:
                del self.running_tasks[claim.task_id]
            self.meter.note_end()
            self._forget(claim.tenant_id)
            self._reckon(running, took)
            self._freed.set()
            if unsure and self._leases is not None:
                self._leases.doubt(claim.tenant_id)

    def _forget(self, tenant_id: str) -> None:
        """Count a task as gone."""
        self._by_tenant[tenant_id] -= 1
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]
        if self._scheduler is not None:
            self._scheduler.note_end()

    def _reckon(self, running: RunningTask, seconds: float) -> None:
        """Tell the scheduler what a task has really cost."""
        measure = self.services.settings.fairness_cost
        if measure != "tasks" and self._scheduler is not None:
            self._scheduler.correct(running.claim.tenant_id, seconds if measure == "seconds" else running.tokens / 1000)

    async def _slot_freed(self) -> None:
        await self._freed.wait()
        self._freed = trio.Event()


def _log_of(claim: Claim) -> Any:
    return _log.bind(tenant_id=claim.tenant_id, task_id=claim.task_id, attempt=claim.attempt)
