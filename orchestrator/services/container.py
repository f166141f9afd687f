"""Everything that one process is made of, built once when it starts."""

from attrs import frozen

from orchestrator.clients.opening import Clients
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.services.agents.agents import AgentService
from orchestrator.services.agents.tool_runs import ToolRunService
from orchestrator.services.agents.tools import ToolService
from orchestrator.services.chat.messages import ChatService
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.services.downstream.catalog_invalidation import CatalogInvalidation
from orchestrator.services.gateway.gateway import Gateway
from orchestrator.services.gateway.usage import UsageService
from orchestrator.services.notifications.notification_hub import NotificationHub
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.services.operations.facade import Operations
from orchestrator.services.operations.health import Health
from orchestrator.services.operations.load import LoadService
from orchestrator.services.operations.tenants import TenantService
from orchestrator.services.operations.timelines import TimelineService
from orchestrator.services.scheduling.batches import BatchService
from orchestrator.services.scheduling.schedules import ScheduleService
from orchestrator.services.sessions.session_debug import SessionDebugger
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.sessions.tickets import Tickets
from orchestrator.services.shared.rate_limiter import RateLimiter
from orchestrator.services.shared.revocations import Revocations
from orchestrator.services.tasks.tasks import TaskService
from orchestrator.services.workflows.workflow_steps import StepService
from orchestrator.services.workflows.workflows import WorkflowService
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.events.events import EventLog
from orchestrator.store.keys import Keys
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.redis.connection import Redis
from orchestrator.telemetry.metrics import Metrics


@frozen
class Services:
    """The services, for routes, sockets and the queue; in the application it is `app.extensions["services"]`."""

    settings: AgentOrchestratorSettings
    redis: Redis
    keys: Keys
    clients: Clients
    sessions: SessionManager
    tickets: Tickets
    chat: ChatService
    transcripts: Transcripts
    tasks: TaskService
    batches: BatchService
    workflows: WorkflowService
    workflow_steps: StepService
    schedules: ScheduleService
    tenants: TenantService
    operations: Operations
    load: LoadService
    timelines: TimelineService
    task_updates: TaskUpdateService
    tool_runs: ToolRunService
    agents: AgentService
    tools: ToolService
    catalog_invalidation: CatalogInvalidation
    notifications: NotificationService
    notification_hub: NotificationHub
    session_debugger: SessionDebugger
    gateway: Gateway
    usage: UsageService
    rate_limiter: RateLimiter
    event_log: EventLog
    event_hub: EventHub
    audit: AuditTrail
    health: Health
    metrics: Metrics
    revocations: Revocations
