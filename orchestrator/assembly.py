"""Putting a process together: its stores, clients and services, the consumer, and what runs beside them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import trio
from attrs import frozen

from orchestrator.clients.callbacks import CallbackClient
from orchestrator.clients.opening import Clients, open_clients
from orchestrator.clients.transport.addresses import AddressGuard
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.frameworks.versions import report_untried
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.queue.tasks import TaskKinds
from orchestrator.queue.tasks.batch_items import BatchItems
from orchestrator.queue.tasks.chat_tasks import ChatTasks
from orchestrator.queue.tasks.delegation_tasks import delegation_handlers
from orchestrator.queue.tasks.engine_watch import EngineWatch
from orchestrator.queue.tasks.plan_tasks import PlanTasks
from orchestrator.queue.tasks.webhooks import Webhooks
from orchestrator.queue.worker.consumer import Consumer, TaskHandler
from orchestrator.services.agents.agent_question import AgentQuestionRunner
from orchestrator.services.agents.agents import AgentService
from orchestrator.services.agents.tool_runs import ToolRunService
from orchestrator.services.agents.tools import ToolService
from orchestrator.services.chat.chat_turn import ChatTurnRunner
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.chat.messages import CHAT_TURN, ChatService
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.container import Services
from orchestrator.services.delegation.task_update_stream import TaskUpdateReader
from orchestrator.services.delegation.task_updates import TaskUpdateService, tell_turn
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.catalog_invalidation import CatalogInvalidation
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.gateway.gateway import Gateway, open_gateway
from orchestrator.services.gateway.usage import UsageService
from orchestrator.services.notifications.notification_hub import NotificationHub
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.services.operations.dead_letters import DeadLetterService
from orchestrator.services.operations.facade import Operations
from orchestrator.services.operations.health import Health
from orchestrator.services.operations.load import LoadService
from orchestrator.services.operations.probes import probes_of
from orchestrator.services.operations.replays import ReplayService
from orchestrator.services.operations.system_events import SystemEvents
from orchestrator.services.operations.tenants import TenantService
from orchestrator.services.operations.timelines import TimelineService
from orchestrator.services.operations.transfers import TransferService
from orchestrator.services.plans.call_authorization import CallAuthorization
from orchestrator.services.plans.plan_runner import PlanRunner
from orchestrator.services.scheduling.batches import BATCH_ITEM, BatchService
from orchestrator.services.scheduling.schedule_runner import ScheduleRunner
from orchestrator.services.scheduling.schedules import ScheduleService
from orchestrator.services.sessions.session_debug import SessionDebugger
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.sessions.tickets import Tickets
from orchestrator.services.shared.idempotency import Idempotency
from orchestrator.services.shared.rate_limiter import RateLimiter, rates_of
from orchestrator.services.shared.revocations import Revocations
from orchestrator.services.tasks.callbacks import WEBHOOK
from orchestrator.services.tasks.tasks import TaskService, retention_of
from orchestrator.services.workflows.engine_executor import EngineExecutor
from orchestrator.services.workflows.plan_calls import PlanCalls
from orchestrator.services.workflows.workflow_engine import EngineService
from orchestrator.services.workflows.workflow_intake import WorkflowIntake, WorkflowQueue
from orchestrator.services.workflows.workflow_records import WORKFLOW, tell_workflow
from orchestrator.services.workflows.workflow_steps import StepService
from orchestrator.services.workflows.workflows import WorkflowService
from orchestrator.store.downstream.replies import ReplyDesk
from orchestrator.store.downstream.task_update_stream import TaskUpdateStream
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.script import load_scripts
from orchestrator.store.stores import Stores
from orchestrator.telemetry.loop_lag import watch_loop
from orchestrator.telemetry.metrics import Metrics


@frozen
class Process:
    """One process of the service: its services, its consumer, and the event that stops it."""

    services: Services
    consumer: Consumer
    stopping: trio.Event
    replies: ReplyDesk
    board: SystemEvents
    news: TaskUpdateStream

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pump events and consume tasks until `stopping` is set and everything in hand has been settled."""
        async with trio.open_nursery() as nursery:
            if self.services.settings.services.queued:
                await nursery.start(self.replies.run)
                await nursery.start(self.news.run)
            await nursery.start(self.board.run)
            await nursery.start(self.services.event_hub.run)
            await nursery.start(self.services.revocations.run)
            await nursery.start(self.services.catalog_invalidation.run)
            await nursery.start(self.services.notification_hub.run)
            await nursery.start(self.services.gateway.run)
            nursery.start_soon(watch_loop, self.services.metrics.loop_lag)
            async with trio.open_nursery() as consuming:
                await consuming.start(self.consumer.run, self.stopping)
                task_status.started()
            with trio.move_on_after(self.services.settings.drain_timeout):
                await self.services.gateway.idle()
            nursery.cancel_scope.cancel()


@frozen
class _Core:
    """What the services of a process stand on."""

    settings: AgentOrchestratorSettings
    node: str
    stores: Stores
    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog
    gateway: Gateway
    items: AgentQuestionRunner
    sessions: SessionManager
    tasks: TaskService
    queue: QueueServices
    engine: EngineService
    board: SystemEvents
    hub: EventHub
    metrics: Metrics


@asynccontextmanager
async def open_process(settings: AgentOrchestratorSettings) -> AsyncIterator[Process]:
    """Build everything that one process is made of, and close it at the end.

    Libraries of untried versions are told of in the log.

    Raises:
        StoreUnavailable: Redis can't be reached.
    """
    report_untried()
    node, metrics = token_hex(8), Metrics()
    async with open_redis(
        settings.redis_url,
        connect_timeout=settings.redis_connect_timeout,
        command_timeout=settings.redis_command_timeout,
    ) as redis:
        await load_scripts(redis)
        stores = Stores.over(redis, settings)
        replies = ReplyDesk(redis, stores.keys, node, metrics.reply_dropped)
        async with open_clients(settings.services, replies) as clients:
            core = _ground(settings, node, stores, clients, metrics)
            chat = _chat(core)
            schedules = ScheduleRunner(stores.schedules, core.sessions, chat)
            consumer = Consumer(core.queue, TaskKinds(core.queue, _handlers(core)), schedules.run_due)
            stopping = trio.Event()
            services = _services(core, chat, _health(core, consumer, stopping))
            take = TaskUpdateReader(services.task_updates, stores.audit).take
            news = TaskUpdateStream(redis, stores.keys, node, take)
            yield Process(services, consumer, stopping, replies, core.board, news)


def _ground(
    settings: AgentOrchestratorSettings, node: str, stores: Stores, clients: Clients, metrics: Metrics
) -> _Core:
    board = SystemEvents(stores.notices, node)
    coordinator = ServiceCoordinator(metrics, settings.services, board.breaker_changed)
    catalog = AgentCatalog(clients, coordinator)
    sessions = SessionManager(stores.sessions, stores.audit, settings, rates_of(settings), metrics, catalog)
    queue = QueueServices(
        node=node,
        settings=settings,
        redis=stores.redis,
        keys=stores.keys,
        tasks=stores.tasks,
        ready=stores.ready,
        due=stores.due,
        nodes=stores.nodes,
        sessions=sessions,
        metrics=metrics,
        breakers=coordinator.breakers,
    )
    return _Core(
        settings,
        node,
        stores,
        clients,
        coordinator,
        catalog,
        open_gateway(
            clients, coordinator, stores.gateway_calls, stores.answers, stores.ledger, settings.gateway, metrics
        ),
        AgentQuestionRunner(clients, coordinator, catalog),
        sessions,
        TaskService(stores.tasks, stores.ready, retention_of(settings)),
        queue,
        EngineService(clients, coordinator, queue.delegations),
        board,
        EventHub(stores.redis, stores.keys, stores.events),
        metrics,
    )


def _handlers(core: _Core) -> dict[str, TaskHandler]:
    """Return what runs tasks, by their types."""
    stores, queue, clients, coordinator = core.stores, core.queue, core.clients, core.coordinator
    return {
        str(CHAT_TURN): ChatTasks(queue, ChatTurnRunner(clients, coordinator, core.catalog)),
        str(BATCH_ITEM): BatchItems(queue, core.items),
        str(WORKFLOW): _plan_tasks(core),
        str(WEBHOOK): Webhooks(
            queue,
            stores.batches,
            stores.workflows,
            stores.tenants,
            CallbackClient(AddressGuard(core.settings.callback_allow)),
        ),
        **delegation_handlers(queue, stores.plain_tasks, clients, coordinator),
    }


def _plan_tasks(core: _Core) -> PlanTasks:
    settings, stores, clients, coordinator = core.settings, core.stores, core.clients, core.coordinator
    lifetime_ms, poll_ms = round(settings.workflow_timeout * 1000), round(settings.workflow_poll * 1000)
    calls = PlanCalls(clients, coordinator, core.gateway, core.items)
    own = PlanRunner(CallAuthorization(calls, stores.sessions))
    known = PlanRunner(EngineExecutor(clients, coordinator, lifetime_ms, poll_ms))
    watch = EngineWatch(stores.workflows, core.engine, poll_ms)
    return PlanTasks(core.queue, stores.workflows, stores.plain_tasks, own, known, watch)


def _chat(core: _Core) -> ChatService:
    stores = core.stores
    conversations = Conversations(core.clients.conversation, core.coordinator)
    transcripts = Transcripts(stores.tasks, core.sessions, conversations, core.settings)
    return ChatService(
        stores.admission,
        stores.tasks,
        core.tasks,
        core.sessions,
        stores.ready,
        stores.due,
        core.hub,
        transcripts,
        core.settings,
        rates_of(core.settings),
    )


def _workflows(core: _Core) -> WorkflowService:
    stores, settings = core.stores, core.settings
    queue = WorkflowQueue(stores.plain_tasks, stores.known_tenants, stores.ready, stores.due)
    return WorkflowService(
        stores.workflows,
        WorkflowIntake(queue, core.engine, core.sessions, settings, rates_of(settings)),
        core.engine,
        core.tasks,
        core.hub,
        stores.events,
        stores.task_events,
        settings,
    )


def _services(core: _Core, chat: ChatService, health: Health) -> Services:
    settings, stores, clients, coordinator = core.settings, core.stores, core.clients, core.coordinator
    catalog, sessions, delegations = core.catalog, core.sessions, core.queue.delegations
    load = LoadService(stores.nodes, stores.ready, stores.tenants, round(settings.node_timeout * 1000), core.board)
    tenants = TenantService(stores.tenants, stores.ready, stores.audit, core.board)
    repeats = Idempotency(stores.idempotency)
    tellers = {str(CHAT_TURN): tell_turn, str(WORKFLOW): tell_workflow}
    return Services(
        settings=settings,
        redis=stores.redis,
        keys=stores.keys,
        clients=clients,
        sessions=sessions,
        tickets=Tickets(stores.sessions, sessions),
        chat=chat,
        transcripts=chat.transcripts,
        tasks=core.tasks,
        batches=BatchService(stores.batches, stores.ready, catalog, settings, core.engine, stores.due),
        workflows=_workflows(core),
        workflow_steps=StepService(stores.workflows, delegations, clients, coordinator, core.items, settings),
        schedules=ScheduleService(stores.schedules, stores.due, stores.audit, settings.schedules),
        tenants=tenants,
        operations=_operations(core, tenants),
        load=load,
        timelines=TimelineService(stores.timelines, load),
        task_updates=TaskUpdateService(delegations, stores.ready, tellers),
        tool_runs=ToolRunService(stores.plain_tasks, core.tasks, stores.ready, stores.known_tenants, settings),
        agents=AgentService(clients, coordinator, catalog, sessions, stores.tasks, repeats),
        tools=ToolService(clients, coordinator, catalog, sessions, repeats),
        catalog_invalidation=CatalogInvalidation(stores.redis, stores.keys, catalog),
        notifications=NotificationService(stores.notifications),
        notification_hub=NotificationHub(stores.notifications),
        session_debugger=SessionDebugger(sessions, core.tasks, core.hub, stores.audit),
        gateway=core.gateway,
        usage=UsageService(stores.ledger),
        rate_limiter=RateLimiter(stores.limits, rates_of(settings)),
        event_log=stores.events,
        event_hub=core.hub,
        audit=stores.audit,
        metrics=core.metrics,
        revocations=Revocations(stores.revocations, stores.audit),
        health=health,
    )


def _operations(core: _Core, tenants: TenantService) -> Operations:
    stores, settings = core.stores, core.settings
    letters, placement, ready, audit = stores.dead_letters, stores.placement, stores.ready, stores.audit
    replays = ReplayService(letters, placement, stores.limits, ready, audit, settings, rates_of(settings))
    return Operations(
        replays=replays,
        dead_letters=DeadLetterService(letters, replays, tenants, audit),
        transfers=TransferService(stores.transfers, placement, tenants, ready, stores.due, audit, settings),
    )


def _health(core: _Core, consumer: Consumer, stopping: trio.Event) -> Health:
    async def redis_answers() -> str | None:
        await core.stores.redis.ping()
        return None

    async def consumer_alive() -> str | None:
        return None if consumer.alive else "the consumer is not running"

    async def not_draining() -> str | None:
        return "the process is stopping" if stopping.is_set() else None

    checks = {"redis": redis_answers, "consumer": consumer_alive, "draining": not_draining}
    return Health(checks, probes_of(core.clients))
