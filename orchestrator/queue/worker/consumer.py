"""The consumer: claims tasks of all tenants, runs them, keeps their leases, and takes over what others have lost.

    run ─┬─ keeper (heartbeat, leases), listener (wake-ups, cancellations), sweeper, timers      outlive the workers
         └─ workers ─┬─ scheduler
                     ├─ importer
                     └─ one task each

On a stop the scheduler ends first; what runs may finish until the drain timeout; what has not finished by then is
handed back to its lane, for any process to go on with at once.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.errors import FencedOut, InvalidBody, StoreUnavailable, TenantDamaged
from orchestrator.queue.attempts.damaged_tasks import settle_crash, settle_damage
from orchestrator.queue.attempts.running_task import RunningTask, StopReason
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.worker.importer import Importer
from orchestrator.queue.worker.intake import Intake
from orchestrator.queue.worker.leases import Leases
from orchestrator.queue.worker.listener import listen
from orchestrator.queue.worker.load_report import LoadReporter
from orchestrator.queue.worker.packer import Packer
from orchestrator.queue.worker.scheduler import Scheduler
from orchestrator.queue.worker.slots import Slots
from orchestrator.queue.worker.sweeper import Sweeper
from orchestrator.queue.worker.timers import RunSchedules, run_timers
from orchestrator.services.shared.traces import trace_of
from orchestrator.store.background_loops import Loop
from orchestrator.store.tasks.claims import Claim
from orchestrator.telemetry.log_context import log_with
from orchestrator.telemetry.tenant_labels import OTHER
from orchestrator.telemetry.tracing.spans import NO_SPAN, OpenSpan, is_recording
from orchestrator.telemetry.tracing.work import begin_attempt

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
    packer: Packer = field(init=False)
    importer: Importer = field(init=False)
    slots: Slots = field(init=False)
    _scheduler: Scheduler | None = field(default=None, init=False)
    _leases: Leases | None = field(default=None, init=False)
    _by_tenant: Counter[str] = field(factory=Counter, init=False)
    """How many tasks of each tenant are in hand."""

    def __attrs_post_init__(self) -> None:
        own = self.services
        self.slots = Slots(
            own.settings.concurrency, own.settings.adaptive_concurrency, self._work_waits, own.ready.wake
        )
        own.metrics.watch_slots(lambda: self.slots.in_hand, lambda: self.slots.limit, lambda: self.slots.busy)
        self.meter = LoadReporter(own.node, self.slots, own.breakers, own.callee_breakers, own.open_calls)
        self.packer = Packer(own, lambda: self.slots.is_busy)
        self.importer = Importer(own, self._occupy, self._vacate, self._doubt)

    async def run(self, stopping: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Consume until `stopping` is set and everything in hand has been settled."""
        services, loops = self.services, self.services.loops
        timers = partial(run_timers, services, self.run_schedules)
        leases = self._leases = Leases(services, self.running_tasks, self._take, self.meter, self.importer)
        async with trio.open_nursery() as background:
            await loops.start(background, Loop("listener", partial(listen, services, self.running_tasks)))
            await loops.start(background, Loop("intake", Intake(services).run, "intake.store_unavailable"))
            background.start_soon(loops.keep, Loop("timers", timers, "timers.store_unavailable"))
            background.start_soon(loops.keep, Loop("packer", self.packer.run, "packer.store_unavailable"))
            async with trio.open_nursery() as workers, trio.open_nursery() as importing:
                leases.workers, self.importer.nursery = workers, importing
                sweeper = Sweeper(services, self._free_slots, leases.adopt)
                background.start_soon(self.slots.run)
                background.start_soon(loops.keep, Loop("heartbeat", leases.beat, "node.heartbeat_failed"))
                background.start_soon(loops.keep, Loop("leases", leases.renew, "lease.renewal_failed"))
                background.start_soon(loops.keep, Loop("sweeper", sweeper.run, "sweeper.store_unavailable"))
                scheduler = Scheduler(
                    services,
                    self.slots,
                    self._by_tenant.__getitem__,
                    partial(self._take, workers=workers),
                    self.importer,
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
                self.importer.nursery = None
                importing.cancel_scope.cancel()
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
        return self.services.settings.concurrency - len(self.running_tasks) - self.importer.in_hand

    def _work_waits(self) -> bool:
        return self._scheduler is not None and self._scheduler.wants_slots

    async def _drain(self) -> None:
        """Let what runs finish in time, then hand the rest back; entries that are no tasks yet are taken over."""
        with trio.move_on_after(self.services.settings.drain_timeout):
            while self.running_tasks or self.importer.in_hand:
                await self.slots.change()
        for running in list(self.running_tasks.values()):
            running.stop(StopReason.HANDED_BACK)

    def _take(self, claim: Claim, workers: trio.Nursery) -> None:
        running = RunningTask(claim)
        self.running_tasks[claim.task_id] = running
        self._occupy(claim.tenant_id)
        self.meter.note_claim(claim)
        workers.start_soon(self._work, running)

    def _kind_of(self, claim: Claim) -> str:
        """Return the kind of a task for its label: of those that are known here alone."""
        name = claim.record.get(b"type", b"").decode(errors="replace")
        return name if name in self.services.kinds.by_name else OTHER

    async def _work(self, running: RunningTask) -> None:
        claim, began, unsure = running.claim, trio.current_time(), False
        log_with(claim.log_fields)
        span = self._begin_span(claim)
        _log.debug("task.claimed")
        try:
            await self.handler(running)
        except FencedOut as error:
            span.fail(type(error).__name__)
            self.services.metrics.fenced()
            _log.warning("task.fenced")
        except StoreUnavailable as error:
            # Whatever was to be written is not; the task is taken back as soon as Redis is there again.
            unsure = True
            span.fail(error.code)
            _log.warning("task.store_unavailable", error=error.reason)
        except TenantDamaged as damage:
            # Another attempt would meet the same.
            span.fail(damage.code)
            await settle_damage(self.services, claim, damage)
        except Exception as error:  # noqa: BLE001 - the boundary of one task: logged, and it is tried again or given up
            span.fail(type(error).__name__)
            _log.exception("task.crashed")
            await settle_crash(self.services, running)
        finally:
            span.end()
            took = trio.current_time() - began
            self.services.metrics.task_processed(claim.tenant_id, self._kind_of(claim), took)
            if self.running_tasks.get(claim.task_id) is running:
                del self.running_tasks[claim.task_id]
            self.meter.note_end()
            self.packer.note(claim)
            self._reckon(running, took)
            self._vacate(claim.tenant_id)
            if unsure:
                self._doubt(claim.tenant_id)

    def _begin_span(self, claim: Claim) -> OpenSpan:
        """Begin the span of an attempt, in the trace of the request that the task comes from."""
        if not is_recording():
            return NO_SPAN
        parent = None
        with suppress(InvalidBody):
            parent = trace_of(claim.message().metadata)
        return begin_attempt(
            self._kind_of(claim),
            parent,
            tenant_id=claim.tenant_id,
            task_id=claim.task_id,
            session_id=claim.record.get(b"session_id", b"").decode(errors="replace"),
            correlation_id=claim.record.get(b"correlation_id", b"").decode(errors="replace"),
            attempt=claim.attempt,
        )

    def _occupy(self, tenant_id: str) -> None:
        """Count a slot of a tenant as taken."""
        self._by_tenant[tenant_id] += 1
        self.slots.take()

    def _vacate(self, tenant_id: str) -> None:
        """Count it as free."""
        self._by_tenant[tenant_id] -= 1
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]
        if self._scheduler is not None:
            self._scheduler.note_end()
        self.slots.give_back()

    def _doubt(self, tenant_id: str) -> None:
        if self._leases is not None:
            self._leases.doubt(tenant_id)

    def _reckon(self, running: RunningTask, seconds: float) -> None:
        """Tell the scheduler what a task has really cost."""
        measure = self.services.settings.fairness_cost
        if measure != "tasks" and self._scheduler is not None:
            self._scheduler.correct(running.claim.tenant_id, seconds if measure == "seconds" else running.tokens / 1000)
