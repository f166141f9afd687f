"""Where everything meets: the services are built once, and server, consumer and signal watcher run side by side.

    run ── trio.run ── nursery ─┬─ event pump
                                ├─ consumer          until everything in hand is settled
                                ├─ Hypercorn         until `serving` ends
                                └─ signal watcher

A crash of any of them takes the process down. Order of a stop: readiness red and no new claims; sockets told to come
back and closed; the server stops accepting; what runs finishes or is handed back; services and Redis are closed.
"""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_hex
from typing import Any, Final

import hypercorn.trio
import structlog
import trio
from attrs import frozen
from hypercorn.config import Config
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart_trio import QuartTrio

from orchestrator import routes, websocket
from orchestrator.clients.addresses import AddressGuard
from orchestrator.clients.callbacks import CallbackClient
from orchestrator.clients.opening import Clients, open_clients
from orchestrator.config.loading import SettingsFault, load_settings
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import OrchestratorError
from orchestrator.in_flight import InFlight
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
from orchestrator.services.timelines import TimelineService
from orchestrator.services.tool_runs import ToolRunService
from orchestrator.services.tools import ToolService
from orchestrator.services.transfers import TransferService
from orchestrator.services.usage import UsageService
from orchestrator.services.workflow_engine import EngineService
from orchestrator.services.workflow_records import WORKFLOW, tell_workflow
from orchestrator.services.workflow_steps import StepService
from orchestrator.services.workflows import WorkflowQueue, WorkflowService
from orchestrator.store.admission import AdmissionStore
from orchestrator.store.answer_cache import AnswerCache
from orchestrator.store.audit import AuditTrail
from orchestrator.store.batches import BatchStore
from orchestrator.store.connection import Redis, open_redis
from orchestrator.store.dead_letters import DeadLetterStore
from orchestrator.store.due import DueTenants
from orchestrator.store.events import EventLog, TaskLog
from orchestrator.store.gateway_calls import GatewayCalls, Limits
from orchestrator.store.generic_tasks import GenericTaskStore, KnownTenants
from orchestrator.store.idempotency import IdempotencyStore
from orchestrator.store.keys import Keys
from orchestrator.store.limits import LimitStore
from orchestrator.store.nodes import Nodes
from orchestrator.store.notices import NoticeStore
from orchestrator.store.notifications import NotificationStore
from orchestrator.store.placement import PlacementStore
from orchestrator.store.pump import EventPump
from orchestrator.store.ready import ReadyTenants
from orchestrator.store.replies import ReplyDesk
from orchestrator.store.revocations import RevocationStore
from orchestrator.store.schedules import ScheduleStore
from orchestrator.store.scripts import load_scripts
from orchestrator.store.sessions import SessionStore
from orchestrator.store.task_news import TaskNews
from orchestrator.store.tasks import TaskStore
from orchestrator.store.tenants import TenantStates
from orchestrator.store.timelines import TimelineStore
from orchestrator.store.transfers import TransferStore
from orchestrator.store.usage import UsageLedger
from orchestrator.store.workflows import WorkflowStore
from orchestrator.telemetry.logs import configure_logs
from orchestrator.telemetry.loop_lag import watch_loop
from orchestrator.telemetry.metrics import Metrics

_log = structlog.get_logger()

_CLOSE_SOCKETS_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 2.0
"""What a server may take beyond the drain timeout to end its last answers."""
_ARRIVING_SECONDS: Final = 0.2
"""For requests that were on their way when the server stopped accepting."""


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


def _operations(
    stores: tuple[Redis, Keys, int],
    tenants: TenantService,
    ready: ReadyTenants,
    due: DueTenants,
    audit: AuditTrail,
    settings: AgentOrchestratorSettings,
) -> Operations:
    letters, placement = DeadLetterStore(*stores), PlacementStore(*stores)
    replays = ReplayService(letters, placement, LimitStore(*stores), ready, audit, settings, rates_of(settings))
    return Operations(
        replays=replays,
        dead_letters=DeadLetterService(letters, replays, tenants, audit),
        transfers=TransferService(TransferStore(*stores), placement, tenants, ready, due, audit, settings),
    )


def _workflow_tasks(
    stores: tuple[Redis, Keys, int],
    queue: QueueServices,
    clients: Clients,
    coordinator: ServiceCoordinator,
    calls: PlanCalls,
) -> PlanTasks:
    settings = queue.settings
    lifetime_ms, poll_ms = round(settings.workflow_timeout * 1000), round(settings.workflow_poll * 1000)
    store, engine = WorkflowStore(*stores), EngineService(clients, coordinator, queue.delegations)
    known = PlanRunner(EnginePerformer(clients, coordinator, lifetime_ms, poll_ms))
    watch = EngineWatch(store, engine, poll_ms)
    return PlanTasks(queue, store, GenericTaskStore(*stores), PlanRunner(calls), known, watch)


def _workflows(
    stores: tuple[Redis, Keys, int],
    queue: QueueServices,
    clients: Clients,
    coordinator: ServiceCoordinator,
    tasks: TaskService,
    pump: EventPump,
    log: EventLog,
) -> WorkflowService:
    redis, keys, _ = stores
    return WorkflowService(
        WorkflowStore(*stores),
        WorkflowQueue(GenericTaskStore(*stores), KnownTenants(redis, keys), queue.ready, queue.due),
        EngineService(clients, coordinator, queue.delegations),
        tasks,
        queue.sessions,
        pump,
        log,
        TaskLog(redis, keys),
        queue.settings,
        rates_of(queue.settings),
    )


def _gateway(
    stores: tuple[Redis, Keys, int],
    clients: Clients,
    coordinator: ServiceCoordinator,
    settings: AgentOrchestratorSettings,
    metrics: Metrics,
) -> Gateway:
    own = settings.gateway
    limits, lease, give_up = Limits(own.tier, settings.tiers), settings.lease, own.give_up_after
    calls = GatewayCalls(*stores, limits, lease_ms=round(lease * 1000), give_up_ms=round(give_up * 1000))
    cache = AnswerCache(*stores, own.cache_bytes)
    return open_gateway(clients, coordinator, calls, cache, UsageLedger(*stores), own, metrics)


@asynccontextmanager
async def open_process(settings: AgentOrchestratorSettings) -> AsyncIterator[Process]:
    """Build everything that one process is made of, and close it at the end.

    Raises:
        StoreUnavailable: Redis can't be reached.
    """
    async with (
        open_redis(
            settings.redis_url,
            connect_timeout=settings.redis_connect_timeout,
            command_timeout=settings.redis_command_timeout,
        ) as redis,
        AsyncExitStack() as resources,
    ):
        await load_scripts(redis)
        keys, rates, stopping, node = Keys(), rates_of(settings), trio.Event(), token_hex(8)
        metrics = Metrics()
        replies = ReplyDesk(redis, keys, node, metrics.reply_dropped)
        clients = await resources.enter_async_context(open_clients(settings.services, replies))
        stores = (redis, keys, settings.event_log_length)
        audit, ready, due = AuditTrail(redis, keys), ReadyTenants(redis, keys), DueTenants(redis, keys)
        task_store, log = TaskStore(*stores), EventLog(redis, keys)
        pump = EventPump(redis, keys, log)
        board = NoticeBoard(NoticeStore(redis, keys), node)
        coordinator = ServiceCoordinator(metrics, settings.services, board.breaker_changed)
        catalog = AgentCatalog(clients, coordinator)
        sessions = SessionManager(SessionStore(*stores), audit, settings, rates, metrics, catalog)
        tasks = TaskService(task_store, ready, retention_of(settings))
        queue = QueueServices(
            node=node,
            settings=settings,
            redis=redis,
            keys=keys,
            tasks=task_store,
            ready=ready,
            due=due,
            nodes=Nodes(redis, keys),
            sessions=sessions,
            metrics=metrics,
            breakers=coordinator.breakers,
        )
        gateway = _gateway(stores, clients, coordinator, settings, metrics)
        turns = ChatTurnRunner(clients, coordinator, catalog)
        items = BatchItemRunner(clients, coordinator, catalog)
        handlers: dict[str, Handler] = {
            str(CHAT_TURN): ChatTasks(queue, turns),
            str(BATCH_ITEM): BatchItems(queue, items),
            str(WORKFLOW): _workflow_tasks(
                stores, queue, clients, coordinator, PlanCalls(clients, coordinator, gateway, items)
            ),
            str(WEBHOOK): Webhooks(
                queue,
                BatchStore(*stores),
                WorkflowStore(*stores),
                TenantStates(*stores),
                CallbackClient(AddressGuard(settings.callback_allow)),
            ),
        }
        handlers |= delegation_handlers(queue, GenericTaskStore(*stores), clients, coordinator)
        talks = Conversations(clients.conversation, coordinator)
        chat = ChatService(
            AdmissionStore(*stores), task_store, tasks, sessions, ready, due, pump, talks, settings, rates
        )
        schedules = ScheduleStore(*stores)
        consumer = Consumer(queue, TaskKinds(queue, handlers), ScheduleRunner(schedules, sessions, chat).run_due)
        repeats = Repeats(IdempotencyStore(*stores))
        load = LoadService(queue.nodes, ready, TenantStates(*stores), round(settings.node_timeout * 1000), board)
        tenants = TenantService(TenantStates(*stores), ready, audit)
        updates = TaskUpdateService(queue.delegations, ready, {str(CHAT_TURN): tell_turn, str(WORKFLOW): tell_workflow})
        services = Services(
            settings=settings,
            redis=redis,
            keys=keys,
            clients=clients,
            sessions=sessions,
            chat=chat,
            tasks=tasks,
            batches=BatchService(
                BatchStore(*stores),
                ready,
                catalog,
                settings,
                EngineService(clients, coordinator, queue.delegations),
                due,
            ),
            workflows=_workflows(stores, queue, clients, coordinator, tasks, pump, log),
            workflow_steps=StepService(
                WorkflowStore(*stores), queue.delegations, clients, coordinator, items, settings
            ),
            schedules=ScheduleService(schedules, due, audit, settings.schedules),
            tenants=tenants,
            operations=_operations(stores, tenants, ready, due, audit, settings),
            load=load,
            timelines=TimelineService(TimelineStore(*stores), load),
            task_updates=updates,
            tool_runs=ToolRunService(GenericTaskStore(*stores), tasks, ready, KnownTenants(redis, keys), settings),
            agents=AgentService(clients, coordinator, catalog, sessions, task_store, repeats),
            tools=ToolService(clients, coordinator, catalog, sessions, repeats),
            catalog_notices=CatalogNotices(redis, keys, catalog),
            notifications=NotificationService(NotificationStore(*stores)),
            notification_hub=NotificationHub(NotificationStore(*stores)),
            session_debugger=SessionDebugger(sessions, tasks, pump, audit),
            gateway=gateway,
            usage=UsageService(UsageLedger(*stores)),
            rate_limiter=RateLimiter(LimitStore(*stores), rates),
            event_log=log,
            pump=pump,
            audit=audit,
            metrics=metrics,
            revocations=Revocations(RevocationStore(redis, keys, settings.jwt.max_lifetime), audit),
            health=_health(redis, consumer, stopping, clients),
        )
        news = TaskNews(redis, keys, node, TaskNewsService(updates, audit).take)
        yield Process(services, consumer, stopping, replies, board, news)


def create_app(services: Services) -> QuartTrio:
    """Build the web application: HTTP routes and sockets over `services`."""
    app = QuartTrio("orchestrator", static_folder=None)
    app.extensions["services"] = services
    routes.register(app, services)
    websocket.register(app, services)
    return app


async def serve(
    settings: AgentOrchestratorSettings,
    config: Config,
    *,
    watch_signals: bool = True,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the service until a signal stops it; reports the URLs that it listens on.

    Args:
        settings: what the service does.
        config: how Hypercorn listens.
        watch_signals: whether SIGTERM and SIGINT stop it.
        stop: another way to stop it.

    Raises:
        StoreUnavailable: Redis can't be reached at the start.
    """
    async with open_process(settings) as process, trio.open_nursery() as nursery:
        app = create_app(process.services)
        serving = trio.Event()
        config.graceful_timeout = settings.drain_timeout + _GRACE_SECONDS
        if watch_signals:
            nursery.start_soon(_watch_signals, process.stopping, nursery.cancel_scope)
        if stop is not None:
            nursery.start_soon(_pass_on, stop, process.stopping)
        nursery.start_soon(_stop_serving, process.stopping, serving, app)
        async with trio.open_nursery() as siblings:
            await siblings.start(process.run)
            binds = await siblings.start(_serve_http, app, config, serving)
            task_status.started(binds)
            _log.info("service.ready", binds=binds)
        nursery.cancel_scope.cancel()


async def _serve_http(
    app: QuartTrio, config: Config, serving: trio.Event, *, task_status: trio.TaskStatus[list[str]]
) -> None:
    counted = InFlight(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_serving, serving, counted, nursery.cancel_scope)
        await hypercorn.trio.serve(counted, config, shutdown_trigger=serving.wait, task_status=task_status)
        nursery.cancel_scope.cancel()
    if not serving.is_set():
        raise RuntimeError("the server ended by itself")


async def _end_serving(serving: trio.Event, counted: InFlight, server: trio.CancelScope) -> None:
    """End the server as soon as it has answered everything; it would wait for connections without requests too."""
    await serving.wait()
    await trio.sleep(_ARRIVING_SECONDS)
    await counted.idle()
    server.cancel()


async def _stop_serving(stopping: trio.Event, serving: trio.Event, app: QuartTrio) -> None:
    """Tell the sockets first, then let the server stop accepting."""
    await stopping.wait()
    _log.info("service.stopping")
    with trio.move_on_after(_CLOSE_SOCKETS_SECONDS):
        await websocket.manager_of(app).close_all()
    serving.set()


async def _pass_on(source: trio.Event, target: trio.Event) -> None:
    await source.wait()
    target.set()


async def _watch_signals(stopping: trio.Event, everything: trio.CancelScope) -> None:
    """The first signal stops in order, a second one at once; leases and fences keep what was accepted either way."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if stopping.is_set():
                _log.warning("service.stopped_at_once", signal=signal.Signals(number).name)
                everything.cancel()
                return
            stopping.set()


def _health(redis: Redis, consumer: Consumer, stopping: trio.Event, clients: Clients) -> Health:
    async def redis_answers() -> str | None:
        await redis.ping()
        return None

    async def consumer_alive() -> str | None:
        return None if consumer.alive else "the consumer is not running"

    async def not_draining() -> str | None:
        return "the process is stopping" if stopping.is_set() else None

    checks = {"redis": redis_answers, "consumer": consumer_alive, "draining": not_draining}
    return Health(checks, probes_of(clients))


class Application:
    """The service for a server of its own: `hypercorn -c hypercorn.toml orchestrator.main:app`.

    The same services hang on the server's lifespan; a consumer that dies ends the process.
    """

    def __init__(self, load: Callable[[], AgentOrchestratorSettings]) -> None:
        self._load = load
        self._app: QuartTrio | None = None

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is None:
            raise RuntimeError("the server has not begun its lifespan")
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        """Serve the lifespan. What goes wrong is told by its own message: after an exception servers just go on."""
        await receive()
        try:
            await self._run(receive, send)
        except Exception as error:  # noqa: BLE001 - told to the server, which ends the process
            cause: BaseException = error
            while isinstance(cause, BaseExceptionGroup):
                cause = cause.exceptions[0]
            if isinstance(cause, SettingsFault | OrchestratorError):
                _log.error("service.failed", reason=str(cause))
            else:
                _log.exception("service.failed")
            stage = "startup" if self._app is None else "shutdown"
            await send({"type": f"lifespan.{stage}.failed", "message": f"The service could not go on: {cause}"})

    async def _run(self, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        settings = self._load()
        configure_logs(settings.log_level)
        async with open_process(settings) as process, trio.open_nursery() as nursery:
            await nursery.start(process.run)
            self._app = create_app(process.services)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            process.stopping.set()
            with trio.move_on_after(_CLOSE_SOCKETS_SECONDS):
                await websocket.manager_of(self._app).close_all()
        await send({"type": "lifespan.shutdown.complete"})


app: Final = Application(load_settings)
"""For servers that are told where the application is; its settings are read when it starts."""
