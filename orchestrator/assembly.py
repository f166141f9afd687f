"""Putting a process together: its stores, clients and services, the consumer, and what runs beside them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex

import trio
from attrs import frozen

from orchestrator.clients.opening import open_clients
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.frameworks.versions import report_untried
from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.queue.wiring import build_consumer
from orchestrator.queue.worker.consumer import Consumer
from orchestrator.services.container import Services
from orchestrator.services.core import Core
from orchestrator.services.delegation.task_update_stream import TaskUpdateReader
from orchestrator.services.operations.health import Health, HealthCheck
from orchestrator.services.operations.probes import WriteProbe, probes_of
from orchestrator.store.background_loops import BackgroundLoops, Loop
from orchestrator.store.downstream.replies import RedisRequestQueues
from orchestrator.store.downstream.task_update_stream import TaskUpdateStream
from orchestrator.store.operations.probe import ProbeStore
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.redis.unreadable import UnreadableInput
from orchestrator.store.script import load_scripts
from orchestrator.store.stores import Stores
from orchestrator.telemetry.loop_lag import watch_loop
from orchestrator.telemetry.metrics import Metrics
from orchestrator.telemetry.tracing.opening import open_tracing


@frozen
class Process:
    """One process of the service: its stores and services, its consumer, and the event that stops it."""

    stores: Stores
    services: Services
    consumer: Consumer
    stopping: trio.Event
    background: BackgroundLoops
    loops: Sequence[Loop]
    """What runs as long as the consumer does."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pump events and consume tasks until `stopping` is set and everything in hand has been settled.

        Raises:
            StoreUnavailable: a loop can't begin for what Redis says.
        """
        async with trio.open_nursery() as nursery:
            for loop in self.loops:
                await self.background.start(nursery, loop)
            nursery.start_soon(watch_loop, self.services.metrics.loop_lag)
            async with trio.open_nursery() as consuming:
                await consuming.start(self.consumer.run, self.stopping)
                task_status.started()
            with trio.move_on_after(self.services.settings.drain_timeout):
                await self.services.gateway.idle()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_process(settings: AgentOrchestratorSettings) -> AsyncIterator[Process]:
    """Build everything that one process is made of, and close it at the end.

    Libraries of untried versions are told of in the log.

    Raises:
        StoreUnavailable: Redis can't be reached.
    """
    report_untried()
    node, metrics = token_hex(8), Metrics()
    async with (
        open_tracing(settings.otel if settings.traces else None, metrics.spans),
        open_redis(
            settings.redis_url,
            connect_timeout=settings.redis_connect_timeout,
            command_timeout=settings.redis_command_timeout,
            unreadable=UnreadableInput(metrics.unreadable),
        ) as redis,
    ):
        await load_scripts(redis)
        stores = Stores.over(redis, settings)
        replies = RedisRequestQueues(redis, stores.keys, node, metrics.reply_dropped)
        async with open_clients(settings.services, replies) as clients:
            core = Core.over(settings, node, stores, clients, metrics, KNOWN_KINDS)
            consumer, stopping = build_consumer(core), trio.Event()
            services = Services.over(core, _health(core, consumer, stopping))
            updates = TaskUpdateReader(services.task_updates, stores.audit)
            loops = [
                Loop("system_events", core.system_events.run),
                Loop("event_hub", core.event_hub.run),
                Loop("redis_generation", core.event_hub.watch_generation, "events.generation_unknown"),
                Loop("revocations", services.revocations.run, "revocations.not_read"),
                Loop("signing_keys", services.revocations.watch_keys),
                Loop("audit", stores.audit.run),
                Loop("address_limits", services.address_limits.run),
                Loop("api_keys", services.api_keys.run, "api_keys.not_read"),
                Loop("catalog", services.catalog_invalidation.run),
                Loop("notification_hub", services.notification_hub.run),
                *services.gateway.loops,
            ]
            if settings.uses_queues:
                updates_stream = TaskUpdateStream(redis, stores.keys, node, updates.take)
                loops = [
                    Loop("replies", replies.run, "replies.away"),
                    Loop("task_updates", updates_stream.run, "task_news.store_unavailable"),
                    *loops,
                ]
            yield Process(stores, services, consumer, stopping, core.loops, loops)


def _health(core: Core, consumer: Consumer, stopping: trio.Event) -> Health:
    writes = WriteProbe(ProbeStore(core.stores.redis, core.stores.keys, core.node).write)

    async def loops_work() -> str | None:
        failing = [f"{name}: {reason}" for name, reason in sorted(core.loops.outages.items())]
        return "; ".join(failing) or None

    async def consumer_alive() -> str | None:
        return None if consumer.alive else "the consumer is not running"

    async def not_draining() -> str | None:
        return "the process is stopping" if stopping.is_set() else None

    checks: dict[str, HealthCheck] = {
        "redis": writes,
        "background": loops_work,
        "consumer": consumer_alive,
        "draining": not_draining,
    }
    return Health(checks, probes_of(core.clients))
