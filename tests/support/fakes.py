"""Services without a store, for tests of what the HTTP side alone decides."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import orjson
import trio
from attrs import define, evolve, field, fields
from quart_trio import QuartTrio

from orchestrator import routes
from orchestrator.config.settings import AgentOrchestratorSettings, JwtSettings
from orchestrator.domain.revocations import RevocationIndex
from orchestrator.errors import NotFound, OrchestratorError, SessionClosed
from orchestrator.middleware.tokens import create_token
from orchestrator.models.agents.agent_views import AgentAssign
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import Principal, RequestContext, Role
from orchestrator.models.events.events import ChatStatusUpdate, ChatStream, StateUpdate
from orchestrator.models.operations.revocation import Revocation, TokenRevoke, TokenRevoked
from orchestrator.models.sessions.chat import (
    ChatAccepted,
    ChatAnswer,
    ChatCancelled,
    ChatDeleted,
    ChatSummary,
    ChatTurn,
    HistoryMessage,
    MessageStatus,
    Speaker,
)
from orchestrator.models.sessions.session import Session, SessionCreate, SessionState, SessionTicket, SessionUpdate
from orchestrator.models.tasks.batch import Batch, BatchCancelled, BatchCreate, BatchStatus, ItemResult, OnItemError
from orchestrator.models.tasks.task import Task, TaskCancelled, TaskStatus
from orchestrator.models.tasks.timeline import TaskWait, Timeline, TraceStep, WaitReason
from orchestrator.services.chat.messages import Admitted
from orchestrator.services.container import Services
from orchestrator.services.operations.health import Health
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.frames import make_body
from orchestrator.telemetry.metrics import Metrics
from tests.support.recorders.agents import FakeAgents, FakeSystemEvents, FakeTools
from tests.support.recorders.notifications import FakeNotifications
from tests.support.recorders.schedules import FakeSchedules
from tests.support.recorders.task_updates import FakeTaskUpdates, FakeToolRuns

SECRET = "a-secret-of-32-characters-or-more"
NOW = "2026-01-01T00:00:00.000Z"
RATE = RateState(1000, 999, 0.4, 5.0)
INTERNAL_KEY, ADMIN_KEY, METRICS_KEY = "internal-key", "admin-key", "metrics-key"


def api_key(name: str, scope: str, key: str) -> str:
    return f"{name}:{scope}:{sha256(key.encode()).hexdigest()}"


SETTINGS = AgentOrchestratorSettings(
    jwt=JwtSettings(secret=SECRET),
    max_body_bytes=64 * 1024,
    api_keys=(
        api_key("query", "internal", INTERNAL_KEY),
        api_key("operator", "admin", ADMIN_KEY),
        api_key("prometheus", "metrics", METRICS_KEY),
    ),
)


def bearer(tenant: Any = "acme", user: str = "ann", role: Role = Role.USER, **more: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(SECRET, tenant, user, role=role, **more)}"}


def keyed(key: str = INTERNAL_KEY, tenant: str = "acme") -> dict[str, str]:
    return {"X-API-Key": key, "X-Tenant-ID": tenant}


def a_session(ctx: RequestContext, agent_id: str = "docs-guide") -> Session:
    return Session(
        session_id=new_id(),
        tenant_id=ctx.tenant_id,
        user_id=ctx.principal.user_id,
        agent_id=agent_id,
        state=SessionState.CREATED,
        state_code=10,
        metadata={},
        context={},
        message_count=0,
        created_at=NOW,
        updated_at=NOW,
        last_activity_at=NOW,
    )


@define
class FakeSessions:
    kept: dict[str, Session] = field(factory=dict)
    by_key: dict[str, Session] = field(factory=dict)

    async def create(self, ctx: RequestContext, request: SessionCreate) -> tuple[Session, bool]:
        if ctx.idempotency_key in self.by_key:
            return self.by_key[str(ctx.idempotency_key)], True
        session = evolve(a_session(ctx, request.agent_id), metadata=request.metadata)
        self.kept[session.session_id] = session
        if ctx.idempotency_key:
            self.by_key[ctx.idempotency_key] = session
        return session, False

    async def get(self, ctx: RequestContext, session_id: str) -> Session:
        session = self.kept.get(session_id)
        if session is None or (session.tenant_id, session.user_id) != (ctx.tenant_id, ctx.principal.user_id):
            raise NotFound(f"There is no session {session_id}.")
        return session

    async def list(
        self, ctx: RequestContext, *, state: Any, agent_id: str | None, cursor: str | None, limit: int
    ) -> Page[Session]:
        found = [one for one in self.kept.values() if agent_id in {None, one.agent_id}]
        return Page(found[:limit], "more" if len(found) > limit else None)

    async def update(self, ctx: RequestContext, session_id: str, update: SessionUpdate) -> Session:
        session = evolve(await self.get(ctx, session_id), metadata=update.metadata or {})
        self.kept[session_id] = session
        return session

    async def _move(self, ctx: RequestContext, session_id: str, state: SessionState) -> Session:
        session = await self.get(ctx, session_id)
        if session.state is SessionState.TERMINATED:
            raise SessionClosed("The session is closed.")
        self.kept[session_id] = evolve(session, state=state, state_code=state.code)
        return self.kept[session_id]

    async def pause(self, ctx: RequestContext, session_id: str) -> Session:
        return await self._move(ctx, session_id, SessionState.PAUSED)

    async def resume(self, ctx: RequestContext, session_id: str) -> Session:
        return await self._move(ctx, session_id, SessionState.ACTIVE)

    async def close(self, ctx: RequestContext, session_id: str) -> Session:
        return await self._move(ctx, session_id, SessionState.TERMINATED)

    async def assign(self, ctx: RequestContext, session_id: str, request: AgentAssign) -> Session:
        return evolve(await self.get(ctx, session_id), agent_id=request.agent_id, pinned_version=request.version)

    async def of_session(self, ctx: RequestContext, session_id: str) -> SessionTicket:
        await self.get(ctx, session_id)
        return SessionTicket(new_id(), 30)


@define
class FakeLog:
    """An event log and its pump in one."""

    events: list[LoggedEvent] = field(factory=list)
    grown: trio.Event = field(factory=trio.Event)
    cut: bool = False
    followers: int = 0

    def emit(self, name: str, data: object) -> None:
        body = make_body(name, data, tenant_id="acme", correlation_id="c1")
        self.events.append(LoggedEvent(len(self.events) + 1, "e1", name, body))
        self.grown.set()
        self.grown = trio.Event()

    async def head(self, tenant: str, session: str) -> tuple[int, str]:
        return len(self.events), "e1"

    async def read(self, tenant: str, session: str, *, after: int, limit: int) -> list[LoggedEvent]:
        return self.events[after : after + limit]

    @asynccontextmanager
    async def follow(self, tenant: str, session: str, *, after: int, epoch: str | None) -> AsyncIterator[Any]:
        self.followers += 1
        try:
            yield FakeFollower(self, after, recovered=not self.cut)
        finally:
            self.followers -= 1


@define
class FakeFollower:
    log: FakeLog
    offset: int
    recovered: bool

    async def receive(self) -> list[LoggedEvent]:
        while len(self.log.events) <= self.offset:
            await self.log.grown.wait()
        events = self.log.events[self.offset :]
        self.offset = len(self.log.events)
        return events


@define
class FakeChat:
    sessions: FakeSessions
    log: FakeLog
    sent: list[tuple[RequestContext, str, ChatTurn]] = field(factory=list)
    by_key: dict[str, ChatAccepted] = field(factory=dict)
    answer: ChatAnswer | ChatAccepted | OrchestratorError | None = None

    async def send(self, ctx: RequestContext, session_id: str, turn: ChatTurn) -> Admitted:
        session = await self.sessions.get(ctx, session_id)
        if session.state is SessionState.TERMINATED:
            raise SessionClosed("The session is closed.")
        if ctx.idempotency_key in self.by_key:
            return Admitted(self.by_key[str(ctx.idempotency_key)], replayed=True, rate=None)
        self.sent.append((ctx, session_id, turn))
        accepted = ChatAccepted(new_id(), ctx.message_id or new_id(), session_id)
        if ctx.idempotency_key:
            self.by_key[ctx.idempotency_key] = accepted
        return Admitted(accepted, replayed=False, rate=RATE)

    def play(self, accepted: ChatAccepted, *, upto: int = 5) -> None:
        """Emit the events of a whole turn, and some of another one."""
        message_id, task_id = accepted.message_id, accepted.task_id
        events = [
            ("chat.status_update", ChatStatusUpdate(message_id, task_id, MessageStatus.QUEUED)),
            ("session.state_update", StateUpdate(accepted.session_id, SessionState.ACTIVE, 20)),
            ("chat.stream", ChatStream("another-message", 1, "not ours")),
            ("chat.stream", ChatStream(message_id, 1, "Hello")),
            ("chat.completed", ChatAnswer(message_id, "answer-1", "Hello")),
        ]
        for name, data in events[:upto]:
            self.log.emit(name, data)

    async def standing(self, ctx: RequestContext, accepted: ChatAccepted) -> MessageStatus:
        done = any(event.name == "chat.completed" for event in self.log.events)
        return MessageStatus.COMPLETED if done else MessageStatus.PROCESSING

    async def wait(self, ctx: RequestContext, accepted: ChatAccepted, timeout_ms: int) -> ChatAnswer | ChatAccepted:
        if isinstance(self.answer, OrchestratorError):
            raise self.answer
        return accepted if self.answer is None else self.answer

    async def history(
        self, ctx: RequestContext, session_id: str, *, before: Any, after: Any, limit: int
    ) -> Page[HistoryMessage]:
        await self.sessions.get(ctx, session_id)
        return Page([HistoryMessage("m1", Speaker.USER, "Hi", NOW)])

    async def summary(self, ctx: RequestContext, session_id: str) -> ChatSummary:
        await self.sessions.get(ctx, session_id)
        return ChatSummary(session_id, 1)

    async def delete(self, ctx: RequestContext, message_id: str) -> ChatDeleted:
        return ChatDeleted(message_id, deleted=True)

    async def cancel(self, ctx: RequestContext, message_id: str) -> ChatCancelled:
        return ChatCancelled(message_id, cancelled=True)


@define
class FakeTasks:
    async def get(self, ctx: RequestContext, task_id: str) -> Task:
        if task_id != "t1":
            raise NotFound(f"There is no task {task_id}.")
        return Task("t1", ctx.tenant_id, "chat.message", TaskStatus.PENDING, 0, 5, NOW, "c1")

    async def list(self, ctx: RequestContext, **wanted: Any) -> Page[Task]:
        return Page([await self.get(ctx, "t1")])

    async def cancel(self, ctx: RequestContext, task_id: str) -> TaskCancelled:
        await self.get(ctx, task_id)
        return TaskCancelled(task_id, cancelled=True)


class FakeTimelines:
    async def trace(self, ctx: RequestContext, correlation_id: str) -> Timeline:
        return Timeline(correlation_id, NOW, 0, [TraceStep(NOW, 0, "accepted", "t1", 0)])

    async def why(self, ctx: RequestContext, task_id: str) -> TaskWait:
        return TaskWait(task_id, TaskStatus.PENDING, WaitReason.NEXT, "It is the next to be claimed.", ahead=0)


class FakeBatches:
    async def create(self, ctx: RequestContext, request: BatchCreate) -> tuple[Batch, bool]:
        return evolve(await self.get(ctx, "b1"), total=len(request.items), pending=len(request.items)), False

    async def get(self, ctx: RequestContext, batch_id: str) -> Batch:
        if batch_id != "b1":
            raise NotFound(f"There is no batch {batch_id}.")
        return Batch(
            "b1",
            ctx.tenant_id,
            ctx.principal.user_id,
            "echo",
            BatchStatus.RUNNING,
            total=1,
            pending=1,
            running=0,
            completed=0,
            failed=0,
            cancelled=0,
            max_concurrency=10,
            on_item_error=OnItemError.CONTINUE,
            priority=6,
            created_at=NOW,
            correlation_id="c1",
        )

    async def list(self, ctx: RequestContext, **wanted: Any) -> Page[Batch]:
        return Page([await self.get(ctx, "b1")])

    async def results(self, ctx: RequestContext, batch_id: str, **wanted: Any) -> Page[ItemResult]:
        await self.get(ctx, batch_id)
        return Page([ItemResult(0, "b1.0", TaskStatus.PENDING)])

    async def cancel(self, ctx: RequestContext, batch_id: str) -> BatchCancelled:
        await self.get(ctx, batch_id)
        return BatchCancelled(batch_id, cancelled=True)


@define
class FakeLimiter:
    error: Exception | None = None

    async def check(self, principal: Principal, cost: int = 1) -> RateState:
        if self.error is not None:
            raise self.error
        return RATE


@define
class FakeAudit:
    entries: list[dict[str, str]] = field(factory=list)
    error: Exception | None = None

    async def record(self, action: str, **entry: str) -> None:
        if self.error is not None:
            raise self.error
        self.entries.append({"action": action, **entry})


@define
class FakeGateway:
    pieces: list[bytes | OrchestratorError] = field(factory=list)
    asked: list[tuple[str, str, dict[str, Any]]] = field(factory=list)
    refusal: OrchestratorError | None = None
    left: int = 0

    async def generate(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("generate", ctx.tenant_id, body))
        return {"data": {"response": "42"}}

    async def search(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("search", ctx.tenant_id, body))
        return {"results": []}

    async def embed(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("embed", ctx.tenant_id, body))
        return {"embeddings": []}

    @asynccontextmanager
    async def stream(self, ctx: RequestContext, body: dict[str, Any]) -> AsyncIterator["FakeGateway"]:
        if self.refusal is not None:
            raise self.refusal
        try:
            yield self
        finally:
            self.left += 1

    async def receive(self) -> bytes | None:
        piece = self.pieces.pop(0) if self.pieces else None
        if isinstance(piece, OrchestratorError):
            raise piece
        return piece


@define
class FakeRevocations:
    index: RevocationIndex = field(factory=RevocationIndex)
    watchers: list[Callable[[], None]] = field(factory=list)
    asked: list[TokenRevoke] = field(factory=list)

    def covers(self, principal: Principal) -> bool:
        return self.index.covers(principal)

    def watch(self, told: Callable[[], None]) -> None:
        self.watchers.append(told)

    async def revoke(self, ctx: RequestContext, request: TokenRevoke) -> TokenRevoked:
        self.asked.append(request)
        return TokenRevoked(NOW, NOW)

    def add(self, jti: str = "", user_id: str = "", tenant_id: str = "", *, before_ms: int = 0) -> None:
        self.index.add(Revocation(jti, user_id, tenant_id, before_ms, before_ms + 1))
        for told in self.watchers:
            told()


@define
class House:
    """An application over fakes."""

    settings: AgentOrchestratorSettings = SETTINGS
    sessions: FakeSessions = field(factory=FakeSessions)
    log: FakeLog = field(factory=FakeLog)
    tasks: FakeTasks = field(factory=FakeTasks)
    batches: FakeBatches = field(factory=FakeBatches)
    schedules: FakeSchedules = field(factory=FakeSchedules)
    limiter: FakeLimiter = field(factory=FakeLimiter)
    audit: FakeAudit = field(factory=FakeAudit)
    gateway: FakeGateway = field(factory=FakeGateway)
    task_updates: FakeTaskUpdates = field(factory=FakeTaskUpdates)
    usage: Any = None
    health: Health = field(factory=lambda: Health({}))
    metrics: Metrics = field(factory=Metrics)
    revocations: FakeRevocations = field(factory=FakeRevocations)
    chat: FakeChat = field(init=False)
    app: QuartTrio = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chat = FakeChat(self.sessions, self.log)
        fakes: dict[str, Any] = {
            **{attribute.name: None for attribute in fields(Services)},
            "settings": self.settings,
            "sessions": self.sessions,
            "chat": self.chat,
            "tickets": self.sessions,
            "transcripts": self.chat,
            "tasks": self.tasks,
            "batches": self.batches,
            "timelines": FakeTimelines(),
            "task_updates": self.task_updates,
            "tool_runs": FakeToolRuns(),
            "schedules": self.schedules,
            "agents": FakeAgents(),
            "tools": FakeTools(),
            "catalog_invalidation": FakeSystemEvents(),
            "notifications": FakeNotifications(),
            "gateway": self.gateway,
            "usage": self.usage,
            "rate_limiter": self.limiter,
            "event_log": self.log,
            "event_hub": self.log,
            "audit": self.audit,
            "health": self.health,
            "metrics": self.metrics,
            "revocations": self.revocations,
        }
        self.app = QuartTrio("orchestrator", static_folder=None)
        routes.register(self.app, Services(**fakes))

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
