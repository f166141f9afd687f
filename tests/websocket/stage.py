"""The sockets on a real server and a real Redis, without the rest of the house."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
import hypercorn.trio
import orjson
import trio
import trio_websocket
from hypercorn.config import Config
from quart_trio import QuartTrio
from trio_websocket import ConnectionRejected, WebSocketConnection
from wsproto.utilities import LocalProtocolError

from orchestrator import websocket
from orchestrator.config.constants import MAX_FRAME_BYTES
from orchestrator.config.settings import AgentOrchestratorSettings, JwtSettings
from orchestrator.domain.session_states import CLOSED
from orchestrator.errors import NotFound, RateLimited, SessionClosed, Unauthorized
from orchestrator.middleware.install import install
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.principal import Principal, RequestContext, Role
from orchestrator.models.events.events import ChatStatusUpdate, ToolResult
from orchestrator.models.sessions.chat import (
    ChatAccepted,
    ChatCancelled,
    ChatTurn,
    HistoryMessage,
    MessageStatus,
    Speaker,
)
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.models.tasks.batch import Batch, BatchStatus, OnItemError
from orchestrator.services.chat.messages import Admitted
from orchestrator.services.container import Services
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.services.notifications.notification_hub import NotificationHub
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.events.events import EventLog
from orchestrator.store.events.frames import make_body
from orchestrator.store.events.notifications import NotificationStore
from orchestrator.store.keys import Keys
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.telemetry.metrics import Metrics
from orchestrator.websocket import ConnectionManager
from tests.store.events.log_writer import LogWriter
from tests.support.eventually import eventually
from tests.support.fakes import FakeRevocations

SECRET = "a secret that is long enough for HS256"
PATIENCE = 20.0


class Sessions:
    """The sessions s1 (ada's), s2 (ada's, closed) and s3 (bob's) of the tenant acme, and their tickets."""

    def __init__(self) -> None:
        self.states = {"s1": SessionState.ACTIVE, "s2": SessionState.TERMINATED, "s3": SessionState.ACTIVE}
        self.owners = {"s1": "ada", "s2": "ada", "s3": "bob"}
        self.tickets: dict[str, str] = {}

    def add(self, session_id: str) -> None:
        """Give ada one more."""
        self.states[session_id] = SessionState.ACTIVE
        self.owners[session_id] = "ada"

    async def get(self, ctx: RequestContext, session_id: str) -> Session:
        if ctx.tenant_id != "acme" or self.owners.get(session_id) != ctx.principal.user_id:
            raise NotFound(f"There is no session {session_id}.")
        state = self.states[session_id]
        moment = "2026-01-01T00:00:00.000Z"
        return Session(
            session_id, "acme", ctx.principal.user_id, "agent", state, state.code, {}, {}, 0, moment, moment, moment
        )

    async def connected(self, ctx: RequestContext, session_id: str) -> Session:
        session = await self.get(ctx, session_id)
        if session.state in CLOSED:
            raise SessionClosed(f"Session {session_id} is closed.")
        return session

    async def redeem(self, ticket: str, session_id: str | None) -> Principal:
        found = self.tickets.pop(ticket, None)
        if found is None or session_id not in {None, found}:
            raise Unauthorized("The ticket is unknown.")
        return Principal("acme", "ada", Role.USER, frozenset({"session:read"}), time.time() + 60)


class Batches:
    """The batch b1 (ada's) of the tenant acme."""

    def __init__(self) -> None:
        self.status = BatchStatus.RUNNING
        self.completed = 0

    async def get(self, ctx: RequestContext, batch_id: str) -> Batch:
        if (ctx.tenant_id, ctx.principal.user_id, batch_id) != ("acme", "ada", "b1"):
            raise NotFound(f"There is no batch {batch_id}.")
        return Batch(
            "b1",
            "acme",
            "ada",
            "echo",
            self.status,
            total=9,
            pending=9 - self.completed,
            running=0,
            completed=self.completed,
            failed=0,
            cancelled=0,
            max_concurrency=1,
            on_item_error=OnItemError.CONTINUE,
            priority=6,
            created_at="2026-01-01T00:00:00.000Z",
            correlation_id="c1",
        )


@attrs.frozen
class BatchKeys(Keys):
    """Names of keys with which a `LogWriter` writes the log of a batch."""

    def session(self, tenant_id: str, session_id: str) -> str:
        return self.batch(tenant_id, session_id)


class Chat:
    """Takes messages into the log; `limited` refuses them."""

    def __init__(self, log: LogWriter) -> None:
        self._log = log
        self.limited = False
        self.sent: list[tuple[RequestContext, ChatTurn]] = []
        self.broken = False

    async def send(self, ctx: RequestContext, session_id: str, turn: ChatTurn) -> Admitted:
        if self.broken:
            raise ZeroDivisionError
        if self.limited:
            raise RateLimited("Too many requests.", retry_after_ms=500)
        replayed = any(earlier.message_id == ctx.message_id for earlier, _ in self.sent if ctx.message_id)
        self.sent.append((ctx, turn))
        accepted = ChatAccepted("t1", ctx.message_id or "m1", session_id)
        if not replayed:
            data = ChatStatusUpdate(accepted.message_id, accepted.task_id, accepted.status)
            body = make_body("chat.status_update", data, tenant_id="acme", correlation_id=ctx.correlation_id)
            await self._log.append_body("chat.status_update", body)
        return Admitted(accepted, replayed, None)

    async def standing(self, ctx: RequestContext, accepted: ChatAccepted) -> MessageStatus:
        return MessageStatus.COMPLETED

    async def cancel(self, ctx: RequestContext, message_id: str) -> ChatCancelled:
        if message_id != "m1":
            raise NotFound(f"There is no message {message_id}.")
        return ChatCancelled(message_id, cancelled=True)

    async def tool_result(self, ctx: RequestContext, session_id: str, result: ToolResult) -> None:
        raise NotFound(f"No turn waits for the tool call {result.tool_call_id}.")

    async def recent(self, tenant_id: str, session_id: str, limit: int) -> list[HistoryMessage]:
        return [HistoryMessage("m0", Speaker.USER, "hello", "2026-01-01T00:00:00.000Z")]


class Limiter:
    """Counts, and refuses where a test says so."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def check(self, principal: Principal, cost: int = 1) -> RateState:
        if self.error is not None:
            raise self.error
        return RateState(100, 99, 0.0, 1.0)


class Trail:
    """Keeps what is audited."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    async def record(self, action: str, **_: Any) -> None:
        self.entries.append(action)


@attrs.frozen
class Stage:
    """What a test works with."""

    host: str
    port: int
    redis: Redis
    log: LogWriter
    sessions: Sessions
    chat: Chat
    trail: Trail
    manager: ConnectionManager
    revocations: FakeRevocations
    batch_log: LogWriter
    batches: Batches
    notifications: NotificationService
    limiter: Limiter

    def token(self, user: str = "ada", **options: Any) -> str:
        """Make a token of a user of acme."""
        return create_token(SECRET, options.pop("tenant", "acme"), user, **options)

    def handshake(self) -> bytes:
        """Return what a client of the session s1 sends first."""
        lines = (
            "GET /ws/v1/chat/s1 HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Extensions: permessage-deflate",
            f"Authorization: Bearer {self.token()}",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def raw_client(self) -> trio.SocketStream:
        """Open a socket whose client does nothing by itself: it answers neither pings nor close frames."""
        stream = await trio.open_tcp_stream(self.host, self.port)
        await stream.send_all(self.handshake())
        answer = b""
        while b"session.state_update" not in answer and b'"state_update"' not in answer:
            answer += await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 101")
        assert b"permessage-deflate" not in answer
        return stream

    async def until_open(self, count: int) -> None:
        """Wait until the server holds so many sockets."""
        await eventually(f"{count} sockets are open", lambda: len(self.manager), lambda found: found == count)

    @asynccontextmanager
    async def client(
        self,
        path: str = "/ws/v1/chat/s1",
        *,
        token: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        subprotocols: Sequence[str] = (),
        anonymous: bool = False,
    ) -> AsyncIterator["Client"]:
        """Open a socket."""
        given = list(headers)
        if not anonymous:
            given.append(("Authorization", f"Bearer {token or self.token()}"))
        refused: list[BaseException] = []
        stream = await trio.open_tcp_stream(self.host, self.port)
        try:
            async with stream, trio.open_nursery() as nursery:
                socket = await trio_websocket.wrap_client_stream(
                    nursery,
                    stream,
                    f"{self.host}:{self.port}",
                    path,
                    extra_headers=[(name.encode(), value.encode()) for name, value in given],
                    subprotocols=list(subprotocols),
                )
                async with socket:
                    yield Client(socket, stream)
        except* ConnectionRejected as group:
            refused += group.exceptions
        except* LocalProtocolError:
            # The library answers a ping that comes while it says goodbye, and its own protocol layer refuses that.
            pass
        if refused:
            raise refused[0]


@attrs.frozen
class Client:
    """A client's end of a socket."""

    socket: WebSocketConnection
    stream: trio.SocketStream

    async def frame(self) -> Any:
        """Return the next frame."""
        with trio.fail_after(PATIENCE):
            return orjson.loads(await self.socket.get_message())

    async def next(self, name: str) -> Any:
        """Return the next frame, which is of this type."""
        frame = await self.frame()
        assert f"{frame['type']['domain']}.{frame['type']['action']}" == name, frame
        return frame

    async def say(self, name: str, data: Any, **fields: Any) -> None:
        """Send a frame."""
        domain, _, action = name.partition(".")
        envelope = {"type": {"domain": domain, "action": action}, "data": data, **fields}
        await self.socket.send_message(orjson.dumps(envelope).decode())

    async def close_code(self) -> int:
        """Read to the end; returns the code that the server closed with."""
        with trio.fail_after(PATIENCE):
            try:
                while True:
                    await self.socket.get_message()
            except trio_websocket.ConnectionClosed as closed:
                return int(closed.reason.code) if closed.reason is not None else 1006


@asynccontextmanager
async def open_stage(redis_url: str, patience: float = 2 * PATIENCE, **settings: Any) -> AsyncIterator[Stage]:
    """Serve sockets on loopback."""
    chosen = AgentOrchestratorSettings(jwt=JwtSettings(secret=SECRET), redis_url=redis_url, **settings)
    async with open_redis(redis_url) as redis, trio.open_nursery() as nursery:
        log, keys = LogWriter(redis), Keys()
        for session_id in ("s1", "s2", "s3"):
            await LogWriter(redis, session_id=session_id).begin()
        event_log = EventLog(redis, keys)
        hub = EventHub(redis, keys, event_log)
        await nursery.start(hub.run)
        store = NotificationStore(redis, keys, 1000)
        notification_hub = NotificationHub(store)
        await nursery.start(notification_hub.run)
        batch_log = LogWriter(redis, session_id="b1", keys=BatchKeys())
        await batch_log.begin()
        sessions, chat, trail, revocations = Sessions(), Chat(log), Trail(), FakeRevocations()
        batches, limiter = Batches(), Limiter()
        services: Any = Services(
            **dict.fromkeys(attrs.fields_dict(Services))  # type: ignore[arg-type] # only what sockets use is there
            | {
                "settings": chosen,
                "redis": redis,
                "keys": keys,
                "sessions": sessions,
                "tickets": sessions,
                "batches": batches,
                "chat": chat,
                "transcripts": chat,
                "task_updates": TaskUpdateService(DelegationStore(redis, keys, 1000), ReadyTenants(redis, keys)),
                "rate_limiter": limiter,
                "event_log": event_log,
                "event_hub": hub,
                "notifications": NotificationService(store),
                "notification_hub": notification_hub,
                "audit": trail,
                "metrics": Metrics(),
                "revocations": revocations,
            }
        )
        app = QuartTrio("stage")
        install(app, chosen, services.metrics, revocations.covers)
        manager = websocket.register(app, services)
        stop = trio.Event()
        serve = partial(hypercorn.trio.serve, cast("Any", app), _config(), shutdown_trigger=stop.wait)
        binds = await nursery.start(serve)
        url = urlsplit(binds[0])
        assert url.hostname is not None
        assert url.port is not None
        with trio.fail_after(patience):
            yield Stage(
                url.hostname,
                url.port,
                redis,
                log,
                sessions,
                chat,
                trail,
                manager,
                revocations,
                batch_log,
                batches,
                services.notifications,
                limiter,
            )
        stop.set()
        nursery.cancel_scope.cancel()


def _config() -> Config:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.websocket_max_message_size = MAX_FRAME_BYTES
    config.accesslog = None
    config.errorlog = None
    return config
