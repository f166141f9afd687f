"""Putting a process together: its stores, clients and services, the consumer, and what runs beside them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

import trio
from attrs import frozen

from orchestrator.clients.addresses import AddressGuard
from orchestrator.clients.callbacks import CallbackClient
from orchestrator.clients.opening import Clients, open_clients
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.frameworks.versions import report_untried
from orchestrator.queue.consumer import Consumer, Handler
from orchestrator.queue.services import QueueServices
from orchestrator.queue.tasks import TaskKinds
from orchestrator.queue.tasks.batch_items import BatchItems
from orchestrator.queue.tasks.chat_tasks import ChatTasks
from orchestrator.queue.tasks.delegation_tasks import delegation_handlers
from orchestrator.queue.tasks.engine_watch import EngineWatch
from orchestrator.queue.tasks.plan_tasks import PlanTasks
from orchestrator.queue.tasks.webhooks import Webhooks
from orchestrator.services.agent_catalog import AgentCatalog
from orchestrator.services.agents import AgentService
from orchestrator.services.batch_item import BatchItemRunner
from orchestrator.services.batches import BATCH_ITEM, BatchService
from orchestrator.services.callbacks import WEBHOOK
from orchestrator.services.catalog_notices import CatalogNotices
from orchestrator.services.chat import CHAT_TURN, ChatService
from orchestrator.services.chat_turn import ChatTurnRunner
from orchestrator.services.container import Services
from orchestrator.services.conversations import Conversations
from orchestrator.services.dead_letters import DeadLetterService
from orchestrator.services.engine_performer import EnginePerformer
from orchestrator.services.gateway import Gateway, open_gateway
from orchestrator.services.health import Health
from orchestrator.services.load import LoadService
from orchestrator.services.notice_board import NoticeBoard
from orchestrator.services.notification_hub import NotificationHub
from orchestrator.services.notifications import NotificationService
from orchestrator.services.operations import Operations
from orchestrator.services.own_calls import OwnCalls
from orchestrator.services.plan_calls import PlanCalls
from orchestrator.services.plan_runner import PlanRunner
from orchestrator.services.probes import probes_of
from orchestrator.services.rate_limiter import RateLimiter, rates_of
from orchestrator.services.repeats import Repeats
from orchestrator.services.replays import ReplayService
from orchestrator.services.revocations import Revocations
from orchestrator.services.schedule_runner import ScheduleRunner
from orchestrator.services.schedules import ScheduleService
from orchestrator.services.service_coordinator import ServiceCoordinator
from orchestrator.services.session_debug import SessionDebugger
from orchestrator.services.session_manager import SessionManager
from orchestrator.services.task_news import TaskNewsService
from orchestrator.services.task_updates import TaskUpdateService, tell_turn
from orchestrator.services.tasks import TaskService, retention_of
from orchestrator.services.tenants import TenantService
from orchestrator.services.tickets import Tickets
from orchestrator.services.timelines import TimelineService
from orchestrator.services.tool_runs import ToolRunService
from orchestrator.services.tools import ToolService
from orchestrator.services.transcripts import Transcripts
from orchestrator.services.transfers import TransferService
from orchestrator.services.usage import UsageService
from orchestrator.services.workflow_engine import EngineService
from orchestrator.services.workflow_intake import WorkflowIntake, WorkflowQueue
from orchestrator.services.workflow_records import WORKFLOW, tell_workflow
from orchestrator.services.workflow_steps import StepService
from orchestrator.services.workflows import WorkflowService
from orchestrator.store.connection import open_redis
from orchestrator.store.pump import EventPump
from orchestrator.store.replies import ReplyDesk
from orchestrator.store.scripts import load_scripts
from orchestrator.store.stores import Stores
from orchestrator.store.task_news import TaskNews
from orchestrator.telemetry.loop_lag import watch_loop
from orchestrator.telemetry.metrics import Metrics


@frozen
class Process:
    """One process of the service: its services, its consumer, and the event that stops it."""

    services: Services
    consumer: Consumer
    stopping: trio.Event
    replies: ReplyDesk
    board: NoticeBoard
    news: TaskNews

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pump events and consume tasks until `stopping` is set and everything in hand has been settled."""
        async with trio.open_nursery() as nursery:
            if self.services.settings.services.queued:
                await nursery.start(self.replies.run)
                await nursery.start(self.news.run)
            await nursery.start(self.board.run)
            await nursery.start(self.services.pump.run)
            await nursery.start(self.services.revocations.run)
            await nursery.start(self.services.catalog_notices.run)
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
class _Ground:
    """What the services of a process stand on."""

    settings: AgentOrchestratorSettings
    node: str
    stores: Stores
    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog
    gateway: Gateway
    items: BatchItemRunner
    sessions: SessionManager
    tasks: TaskService
    queue: QueueServices
    engine: EngineService
    board: NoticeBoard
    pump: EventPump
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
            ground = _ground(settings, node, stores, clients, metrics)
            chat = _chat(ground)
            schedules = ScheduleRunner(stores.schedules, ground.sessions, chat)
            consumer = Consumer(ground.queue, TaskKinds(ground.queue, _handlers(ground)), schedules.run_due)
            stopping = trio.Event()
            services = _services(ground, chat, _health(ground, consumer, stopping))
            take = TaskNewsService(services.task_updates, stores.audit).take
            news = TaskNews(redis, stores.keys, node, take)
            yield Process(services, consumer, stopping, replies, ground.board, news)


def _ground(
    settings: AgentOrchestratorSettings, node: str, stores: Stores, clients: Clients, metrics: Metrics
) -> _Ground:
    board = NoticeBoard(stores.notices, node)
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
    return _Ground(
        settings,
        node,
        stores,
        clients,
        coordinator,
        catalog,
        open_gateway(
            clients, coordinator, stores.gateway_calls, stores.answers, stores.ledger, settings.gateway, metrics
        ),
        BatchItemRunner(clients, coordinator, catalog),
        sessions,
        TaskService(stores.tasks, stores.ready, retention_of(settings)),
        queue,
        EngineService(clients, coordinator, queue.delegations),
        board,
        EventPump(stores.redis, stores.keys, stores.events),
        metrics,
    )


def _handlers(ground: _Ground) -> dict[str, Handler]:
    """Return what runs tasks, by their types."""
    stores, queue, clients, coordinator = ground.stores, ground.queue, ground.clients, ground.coordinator
    return {
        str(CHAT_TURN): ChatTasks(queue, ChatTurnRunner(clients, coordinator, ground.catalog)),
        str(BATCH_ITEM): BatchItems(queue, ground.items),
        str(WORKFLOW): _plan_tasks(ground),
        str(WEBHOOK): Webhooks(
            queue,
            stores.batches,
            stores.workflows,
            stores.tenants,
            CallbackClient(AddressGuard(ground.settings.callback_allow)),
        ),
        **delegation_handlers(queue, stores.generic_tasks, clients, coordinator),
    }


def _plan_tasks(ground: _Ground) -> PlanTasks:
    settings, stores, clients, coordinator = ground.settings, ground.stores, ground.clients, ground.coordinator
    lifetime_ms, poll_ms = round(settings.workflow_timeout * 1000), round(settings.workflow_poll * 1000)
    calls = PlanCalls(clients, coordinator, ground.gateway, ground.items)
    own = PlanRunner(OwnCalls(calls, stores.sessions))
    known = PlanRunner(EnginePerformer(clients, coordinator, lifetime_ms, poll_ms))
    watch = EngineWatch(stores.workflows, ground.engine, poll_ms)
    return PlanTasks(ground.queue, stores.workflows, stores.generic_tasks, own, known, watch)


def _chat(ground: _Ground) -> ChatService:
    stores = ground.stores
    conversations = Conversations(ground.clients.conversation, ground.coordinator)
    transcripts = Transcripts(stores.tasks, ground.sessions, conversations, ground.settings)
    return ChatService(
        stores.admission,
        stores.tasks,
        ground.tasks,
        ground.sessions,
        stores.ready,
        stores.due,
        ground.pump,
        transcripts,
        ground.settings,
        rates_of(ground.settings),
    )


def _workflows(ground: _Ground) -> WorkflowService:
    stores, settings = ground.stores, ground.settings
    queue = WorkflowQueue(stores.generic_tasks, stores.known_tenants, stores.ready, stores.due)
    return WorkflowService(
        stores.workflows,
        WorkflowIntake(queue, ground.engine, ground.sessions, settings, rates_of(settings)),
        ground.engine,
        ground.tasks,
        ground.pump,
        stores.events,
        stores.task_events,
        settings,
    )


def _services(ground: _Ground, chat: ChatService, health: Health) -> Services:
    settings, stores, clients, coordinator = ground.settings, ground.stores, ground.clients, ground.coordinator
    catalog, sessions, delegations = ground.catalog, ground.sessions, ground.queue.delegations
    load = LoadService(stores.nodes, stores.ready, stores.tenants, round(settings.node_timeout * 1000), ground.board)
    tenants = TenantService(stores.tenants, stores.ready, stores.audit, ground.board)
    repeats = Repeats(stores.idempotency)
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
        tasks=ground.tasks,
        batches=BatchService(stores.batches, stores.ready, catalog, settings, ground.engine, stores.due),
        workflows=_workflows(ground),
        workflow_steps=StepService(stores.workflows, delegations, clients, coordinator, ground.items, settings),
        schedules=ScheduleService(stores.schedules, stores.due, stores.audit, settings.schedules),
        tenants=tenants,
        operations=_operations(ground, tenants),
        load=load,
        timelines=TimelineService(stores.timelines, load),
        task_updates=TaskUpdateService(delegations, stores.ready, tellers),
        tool_runs=ToolRunService(stores.generic_tasks, ground.tasks, stores.ready, stores.known_tenants, settings),
        agents=AgentService(clients, coordinator, catalog, sessions, stores.tasks, repeats),
        tools=ToolService(clients, coordinator, catalog, sessions, repeats),
        catalog_notices=CatalogNotices(stores.redis, stores.keys, catalog),
        notifications=NotificationService(stores.notifications),
        notification_hub=NotificationHub(stores.notifications),
        session_debugger=SessionDebugger(sessions, ground.tasks, ground.pump, stores.audit),
        gateway=ground.gateway,
        usage=UsageService(stores.ledger),
        rate_limiter=RateLimiter(stores.limits, rates_of(settings)),
        event_log=stores.events,
        pump=ground.pump,
        audit=stores.audit,
        metrics=ground.metrics,
        revocations=Revocations(stores.revocations, stores.audit),
        health=health,
    )


def _operations(ground: _Ground, tenants: TenantService) -> Operations:
    stores, settings = ground.stores, ground.settings
    letters, placement, ready, audit = stores.dead_letters, stores.placement, stores.ready, stores.audit
    replays = ReplayService(letters, placement, stores.limits, ready, audit, settings, rates_of(settings))
    return Operations(
        replays=replays,
        dead_letters=DeadLetterService(letters, replays, tenants, audit),
        transfers=TransferService(stores.transfers, placement, tenants, ready, stores.due, audit, settings),
    )


def _health(ground: _Ground, consumer: Consumer, stopping: trio.Event) -> Health:
    async def redis_answers() -> str | None:
        await ground.stores.redis.ping()
        return None

    async def consumer_alive() -> str | None:
        return None if consumer.alive else "the consumer is not running"

    async def not_draining() -> str | None:
        return "the process is stopping" if stopping.is_set() else None

    checks = {"redis": redis_answers, "consumer": consumer_alive, "draining": not_draining}
    return Health(checks, probes_of(ground.clients))
