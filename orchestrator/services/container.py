"""The services of one process, built once when it starts."""

from typing import Self

from attrs import frozen

from orchestrator.clients.registry import Clients
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.services.agents.agent_updates import AgentUpdates
from orchestrator.services.agents.agents import AgentService
from orchestrator.services.agents.tool_runs import ToolRunService
from orchestrator.services.agents.tools import ToolService
from orchestrator.services.chat.messages import ChatService
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.core import Core
from orchestrator.services.delegation.service_news import ServiceNewsService
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.services.downstream.catalog_invalidation import CatalogInvalidation
from orchestrator.services.gateway.gateway import Gateway
from orchestrator.services.gateway.usage import UsageService
from orchestrator.services.notifications.notification_hub import NotificationHub
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.services.operations.api_keys import ApiKeyService
from orchestrator.services.operations.audit import AuditService
from orchestrator.services.operations.consistency import ConsistencyChecker
from orchestrator.services.operations.dead_letters import DeadLetterService
from orchestrator.services.operations.examinations import ExaminationService
from orchestrator.services.operations.health import Health
from orchestrator.services.operations.load import LoadService
from orchestrator.services.operations.replays import ReplayService
from orchestrator.services.operations.tenants import TenantService
from orchestrator.services.operations.timelines import TimelineService
from orchestrator.services.operations.transfers import TransferService
from orchestrator.services.runs.directory import RunDirectory
from orchestrator.services.runs.runs import RunService
from orchestrator.services.scheduling.batches import BatchService
from orchestrator.services.scheduling.schedules import ScheduleService
from orchestrator.services.sessions.session_debug import SessionDebugger
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.sessions.tickets import Tickets
from orchestrator.services.shared.address_limits import AddressLimits
from orchestrator.services.shared.idempotency import Idempotency
from orchestrator.services.shared.open_streams import OpenStreams
from orchestrator.services.shared.rate_limiter import ClassLimiter, RateLimiter
from orchestrator.services.shared.revocations import Revocations
from orchestrator.services.tasks.callbacks import CallbackService
from orchestrator.services.tasks.tasks import TaskService
from orchestrator.services.workflows.workflow_intake import WorkflowIntake, WorkflowQueue
from orchestrator.services.workflows.workflow_steps import StepService
from orchestrator.services.workflows.workflows import WorkflowService
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.events.events import BatchLog, EventLog, TaskLog
from orchestrator.store.events.feed import FeedLog
from orchestrator.store.events.notifications import NotificationLog
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.operations.probe import ProbeStore
from orchestrator.telemetry.metrics import Metrics


@frozen
class Services:
    """The services, for routes, sockets and the queue; in the application it is `app.extensions["services"]`."""

    settings: AgentOrchestratorSettings
    clients: Clients
    sessions: SessionManager
    tickets: Tickets
    chat: ChatService
    transcripts: Transcripts
    tasks: TaskService
    batches: BatchService
    workflows: WorkflowService
    workflow_steps: StepService
    runs: RunService
    schedules: ScheduleService
    tenants: TenantService
    replays: ReplayService
    dead_letters: DeadLetterService
    transfers: TransferService
    load: LoadService
    timelines: TimelineService
    examinations: ExaminationService
    task_updates: TaskUpdateService
    service_news: ServiceNewsService
    tool_runs: ToolRunService
    agents: AgentService
    tools: ToolService
    callbacks: CallbackService
    catalog_invalidation: CatalogInvalidation
    agent_updates: AgentUpdates
    notifications: NotificationService
    notification_hub: NotificationHub
    session_debugger: SessionDebugger
    gateway: Gateway
    usage: UsageService
    rate_limiter: RateLimiter
    class_limiter: ClassLimiter
    open_streams: OpenStreams | None
    event_log: EventLog
    batch_log: BatchLog
    task_log: TaskLog
    notification_log: NotificationLog
    feed: FeedLog
    event_hub: EventHub
    audit: AuditTrail
    audit_log: AuditService
    address_limits: AddressLimits
    health: Health
    metrics: Metrics
    revocations: Revocations
    api_keys: ApiKeyService

    @classmethod
    def over(cls, core: Core, health: Health) -> Self:
        """Build all services.

        Args:
            core: what they are built on.
            health: whether the process is fit for work.
        """
        settings, stores, clients, coordinator = core.settings, core.stores, core.clients, core.coordinator
        stores.audit.report = core.metrics.audited
        audit, ready, catalog, sessions, tasks = stores.audit, stores.ready, core.catalog, core.sessions, core.tasks
        kinds, idempotency = core.kinds, Idempotency(stores.idempotency)
        invalidation = CatalogInvalidation(stores.catalog_changes, catalog)
        notifications = NotificationService(stores.notifications)
        node_timeout_ms = round(settings.node_timeout * 1000)
        load = LoadService(stores.nodes, ready, stores.tenants, node_timeout_ms, core.system_events)
        tenants = TenantService(stores.tenants, ready, audit, kinds, stores.quotas, core.system_events)
        replays = ReplayService(
            stores.dead_letters, stores.enqueue, stores.limits, ready, audit, settings, core.rates, kinds, idempotency
        )
        revocations = Revocations(stores.revocations, audit)
        batches = BatchService(stores.batches, ready, catalog, settings, core.engine, stores.due)
        workflows = _workflows(core)
        updates = TaskUpdateService(stores.delegations, ready, kinds)
        return cls(
            settings=settings,
            clients=clients,
            sessions=sessions,
            tickets=Tickets(stores.sessions, sessions),
            chat=core.chat,
            transcripts=core.chat.transcripts,
            tasks=tasks,
            batches=batches,
            workflows=workflows,
            workflow_steps=StepService(
                stores.workflows, stores.delegations, clients, coordinator, core.questions, settings
            ),
            runs=RunService(
                RunDirectory(stores.tasks, stores.workflows, stores.batches, stores.ownership),
                workflows,
                batches,
                tasks,
            ),
            schedules=ScheduleService(stores.schedules, stores.due, audit),
            tenants=tenants,
            replays=replays,
            dead_letters=DeadLetterService(stores.dead_letters, replays, tenants, audit, idempotency),
            transfers=TransferService(
                stores.transfers, stores.enqueue, tenants, ready, stores.due, audit, settings, kinds
            ),
            load=load,
            timelines=TimelineService(stores.timelines, load, settings.tenant_share),
            examinations=_examinations(core),
            task_updates=updates,
            service_news=ServiceNewsService(stores.delegations, updates),
            tool_runs=ToolRunService(stores.plain_tasks, tasks, ready, stores.known_tenants, settings),
            agents=AgentService(clients, coordinator, catalog, sessions, stores.tasks, idempotency),
            tools=ToolService(clients, coordinator, catalog, sessions, idempotency),
            callbacks=CallbackService(stores.callbacks),
            catalog_invalidation=invalidation,
            agent_updates=AgentUpdates(invalidation, sessions, notifications),
            notifications=notifications,
            notification_hub=NotificationHub(stores.notifications),
            session_debugger=SessionDebugger(sessions, stores.session_traces, tasks, core.event_hub, audit),
            gateway=core.gateway,
            usage=UsageService(stores.ledger),
            rate_limiter=RateLimiter(stores.limits, core.rates),
            class_limiter=ClassLimiter(stores.limits, settings.rate_burst, settings.rate_admin),
            open_streams=OpenStreams.of(settings),
            event_log=stores.events,
            batch_log=stores.batch_events,
            task_log=stores.task_events,
            notification_log=stores.notification_events,
            feed=stores.feed,
            event_hub=core.event_hub,
            audit=audit,
            audit_log=AuditService(stores.audit_reader),
            address_limits=AddressLimits(stores.address_limits),
            health=health,
            metrics=core.metrics,
            revocations=revocations,
            api_keys=ApiKeyService(stores.api_keys, audit, revocations),
        )


def _examinations(core: Core) -> ExaminationService:
    stores = core.stores
    pause_after_ms = round(core.settings.pause_after * 1000)
    checker = ConsistencyChecker(
        stores.consistency, stores.reservation_checks, stores.ready, stores.due, pause_after_ms
    )
    probe = ProbeStore(stores.redis, stores.keys, core.node)
    return ExaminationService(checker, stores.consistency, probe, stores.audit)


def _workflows(core: Core) -> WorkflowService:
    settings, stores = core.settings, core.stores
    queue = WorkflowQueue(stores.plain_tasks, stores.known_tenants, stores.ready, stores.due, stores.delegations)
    intake = WorkflowIntake(queue, core.engine, core.sessions, settings, core.rates)
    return WorkflowService(
        stores.workflows,
        intake,
        core.engine,
        core.tasks,
        core.event_hub,
        stores.events,
        stores.task_events,
        settings,
    )
