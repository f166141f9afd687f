"""Putting the consumer of a process together."""

from orchestrator.clients.callbacks import CallbackClient
from orchestrator.clients.transport.addresses import AddressGuard
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.tasks import TaskKinds
from orchestrator.queue.tasks.batch_items import BatchItems
from orchestrator.queue.tasks.chat_tasks import ChatTasks
from orchestrator.queue.tasks.delegation_tasks import delegation_handlers
from orchestrator.queue.tasks.engine_watch import EngineWatch
from orchestrator.queue.tasks.plan_tasks import PlanTasks
from orchestrator.queue.tasks.webhooks import Webhooks
from orchestrator.queue.worker.consumer import Consumer, TaskHandler
from orchestrator.services.chat.chat_turn import ChatTurnRunner
from orchestrator.services.chat.messages import CHAT_TURN
from orchestrator.services.core import Core
from orchestrator.services.plans.call_authorization import CallAuthorization
from orchestrator.services.plans.plan_runner import PlanRunner
from orchestrator.services.scheduling.batches import BATCH_ITEM
from orchestrator.services.scheduling.schedule_runner import ScheduleRunner
from orchestrator.services.tasks.callbacks import WEBHOOK
from orchestrator.services.workflows.engine_executor import EngineExecutor
from orchestrator.services.workflows.plan_calls import PlanCalls
from orchestrator.services.workflows.workflow_records import WORKFLOW


def build_consumer(core: Core) -> Consumer:
    """Build what claims and runs tasks, and runs schedules."""
    stores = core.stores
    queue = QueueServices(
        node=core.node,
        settings=core.settings,
        redis=stores.redis,
        keys=stores.keys,
        tasks=stores.tasks,
        ready=stores.ready,
        due=stores.due,
        nodes=stores.nodes,
        delegations=stores.delegations,
        sessions=core.sessions,
        metrics=core.metrics,
        breakers=core.coordinator.breakers,
    )
    schedules = ScheduleRunner(stores.schedules, core.sessions, core.chat)
    return Consumer(queue, TaskKinds(queue, _handlers(core, queue)), schedules.run_due)


def _handlers(core: Core, queue: QueueServices) -> dict[str, TaskHandler]:
    """Return what runs tasks, by their types."""
    stores, clients, coordinator = core.stores, core.clients, core.coordinator
    return {
        str(CHAT_TURN): ChatTasks(queue, ChatTurnRunner(clients, coordinator, core.catalog)),
        str(BATCH_ITEM): BatchItems(queue, core.questions),
        str(WORKFLOW): _plan_tasks(core, queue),
        str(WEBHOOK): Webhooks(
            queue,
            stores.batches,
            stores.workflows,
            stores.tenants,
            CallbackClient(AddressGuard(core.settings.callback_allow)),
        ),
        **delegation_handlers(queue, stores.plain_tasks, clients, coordinator),
    }


def _plan_tasks(core: Core, queue: QueueServices) -> PlanTasks:
    settings, stores, clients, coordinator = core.settings, core.stores, core.clients, core.coordinator
    lifetime_ms, poll_ms = round(settings.workflow_timeout * 1000), round(settings.workflow_poll * 1000)
    calls = PlanCalls(clients, coordinator, core.gateway, core.questions)
    own = PlanRunner(CallAuthorization(calls, stores.sessions))
    known = PlanRunner(EngineExecutor(clients, coordinator, lifetime_ms, poll_ms))
    watch = EngineWatch(stores.workflows, core.engine, poll_ms)
    return PlanTasks(queue, stores.workflows, stores.plain_tasks, own, known, watch)
