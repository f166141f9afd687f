"""Everything that one process is made of, built once when it starts."""

from attrs import frozen

from orchestrator.clients.opening import Clients
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.services.agents import AgentService
from orchestrator.services.batches import BatchService
from orchestrator.services.catalog_notices import CatalogNotices
from orchestrator.services.chat import ChatService
from orchestrator.services.gateway import Gateway
from orchestrator.services.health import Health
from orchestrator.services.load import LoadService
from orchestrator.services.notification_hub import NotificationHub
from orchestrator.services.notifications import NotificationService
from orchestrator.services.operations import Operations
from orchestrator.services.rate_limiter import RateLimiter
from orchestrator.services.revocations import Revocations
from orchestrator.services.schedules import ScheduleService
from orchestrator.services.session_debug import SessionDebugger
from orchestrator.services.session_manager import SessionManager
from orchestrator.services.task_updates import TaskUpdateService
from orchestrator.services.tasks import TaskService
from orchestrator.services.tenants import TenantService
from orchestrator.services.tickets import Tickets
from orchestrator.services.timelines import TimelineService
from orchestrator.services.tool_runs import ToolRunService
from orchestrator.services.tools import ToolService
from orchestrator.services.transcripts import Transcripts
from orchestrator.services.usage import UsageService
from orchestrator.services.workflow_steps import StepService
from orchestrator.services.workflows import WorkflowService
from orchestrator.store.events.event_hub import EventPump
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
    catalog_notices: CatalogNotices
    notifications: NotificationService
    notification_hub: NotificationHub
    session_debugger: SessionDebugger
    gateway: Gateway
    usage: UsageService
    rate_limiter: RateLimiter
    event_log: EventLog
    pump: EventPump
    audit: AuditTrail
    health: Health
    metrics: Metrics
    revocations: Revocations
