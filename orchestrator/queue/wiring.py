"""Putting the consumer of a process together."""

from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.tasks import TASK_KINDS
from orchestrator.queue.tasks.dispatch import Dispatcher
from orchestrator.queue.tasks.registry import TaskDeps
from orchestrator.queue.worker.consumer import Consumer
from orchestrator.services.agents.agent_updates import AgentUpdates
from orchestrator.services.core import Core
from orchestrator.services.downstream.catalog_invalidation import CatalogInvalidation
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.services.scheduling.schedule_runner import ScheduleRunner


def build_consumer(core: Core) -> Consumer:
    """Build what claims and runs tasks of every kind, and runs schedules."""
    stores = core.stores
    queue = QueueServices.over(
        stores,
        core.settings,
        node=core.node,
        sessions=core.sessions,
        kinds=core.kinds,
        metrics=core.metrics,
        loops=core.loops,
        breakers=core.coordinator.breakers,
        callee_breakers=core.coordinator.callee_breakers,
        open_calls=core.coordinator.open_calls,
        notices=core.system_events,
        agent_updates=AgentUpdates(
            CatalogInvalidation(stores.catalog_changes, core.catalog),
            core.sessions,
            NotificationService(stores.notifications),
        ),
    )
    deps = TaskDeps(core, queue)
    dispatcher = Dispatcher(queue, {str(one.kind): one.handler(deps) for one in TASK_KINDS})
    schedules = ScheduleRunner(stores.schedules, core.sessions, core.chat)
    return Consumer(queue, dispatcher, schedules.run_due)
