"""The application over recorders, for tests of what the HTTP side alone decides."""

from typing import Any

import orjson
from attrs import define, field, fields

from orchestrator import routes
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.frameworks.quart_inside import WebApplication
from orchestrator.services.container import Services
from orchestrator.services.operations.health import Health
from orchestrator.telemetry.metrics import Metrics
from tests.support.credentials import SETTINGS, bearer
from tests.support.recorders.agents import FakeAgents, FakeSystemEvents, FakeTools
from tests.support.recorders.batches import BatchRecorder
from tests.support.recorders.chat import ChatRecorder, TranscriptRecorder
from tests.support.recorders.event_log import FakeEventLog
from tests.support.recorders.gateway import GatewayRecorder
from tests.support.recorders.guards import (
    AddressLimitsRecorder,
    AuditRecorder,
    ClassLimiterRecorder,
    RateLimiterRecorder,
    RevocationRecorder,
)
from tests.support.recorders.notifications import FakeNotifications
from tests.support.recorders.schedules import FakeSchedules
from tests.support.recorders.sessions import SessionRecorder, TicketRecorder
from tests.support.recorders.task_updates import FakeTaskUpdates, FakeToolRuns
from tests.support.recorders.tasks import FakeTasks, FakeTimelines


def partial_services(**parts: Any) -> Services:
    """The services that a test needs; there are no others."""
    missing: dict[str, Any] = dict.fromkeys(attribute.name for attribute in fields(Services))
    return Services(**(missing | parts))


@define
class House:
    """An application over recorders."""

    settings: AgentOrchestratorSettings = SETTINGS
    sessions: SessionRecorder = field(factory=SessionRecorder)
    log: FakeEventLog = field(factory=FakeEventLog)
    tasks: FakeTasks = field(factory=FakeTasks)
    batches: BatchRecorder = field(factory=BatchRecorder)
    schedules: FakeSchedules = field(factory=FakeSchedules)
    limiter: RateLimiterRecorder = field(factory=RateLimiterRecorder)
    audit: AuditRecorder = field(factory=AuditRecorder)
    gateway: GatewayRecorder = field(factory=GatewayRecorder)
    task_updates: FakeTaskUpdates = field(factory=FakeTaskUpdates)
    usage: Any = None
    health: Health = field(factory=lambda: Health({}))
    metrics: Metrics = field(factory=Metrics)
    revocations: RevocationRecorder = field(factory=RevocationRecorder)
    chat: ChatRecorder = field(init=False)
    app: WebApplication = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chat = ChatRecorder(self.sessions, status=self.log.status)
        services = partial_services(
            settings=self.settings,
            sessions=self.sessions,
            chat=self.chat,
            tickets=TicketRecorder(self.sessions),
            transcripts=TranscriptRecorder(self.sessions),
            tasks=self.tasks,
            batches=self.batches,
            timelines=FakeTimelines(),
            task_updates=self.task_updates,
            tool_runs=FakeToolRuns(),
            schedules=self.schedules,
            agents=FakeAgents(),
            tools=FakeTools(),
            catalog_invalidation=FakeSystemEvents(),
            notifications=FakeNotifications(),
            gateway=self.gateway,
            usage=self.usage,
            rate_limiter=self.limiter,
            class_limiter=ClassLimiterRecorder(),
            address_limits=AddressLimitsRecorder(),
            event_log=self.log,
            event_hub=self.log,
            audit=self.audit,
            health=self.health,
            metrics=self.metrics,
            revocations=self.revocations,
        )
        self.app = WebApplication("orchestrator", static_folder=None)
        routes.register(self.app, services)

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, **more: Any
    ) -> "Reply":
        """Send a request; a token is sent along unless `headers` say something else."""
        if body is not None and not isinstance(body, bytes):
            more["data"], more_headers = orjson.dumps(body), {"Content-Type": "application/json"}
        else:
            more["data"], more_headers = body, {}
        sent = {**more_headers, **(bearer() if headers is None else headers)}
        response = await self.app.test_client().open(path, method=method, headers=sent, **more)
        raw: bytes = await response.get_data(as_text=False)
        return Reply(response.status_code, response.headers, raw)

    async def session(self) -> str:
        """Create a session, and return its id."""
        reply = await self.call("POST", "/api/v1/session.create", {"agent_id": "docs-guide"})
        return str(reply.data["session_id"])


@define
class Reply:
    """An answer of the application."""

    status: int
    headers: Any
    raw: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def data(self) -> Any:
        return self.json["data"]

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def fault(self) -> tuple[int, str, str]:
        """Status, code and the path of the first detail."""
        details = self.error["details"]
        return self.status, self.error["code"], details[0]["path"] if details else ""
