"""The sockets on a real server and a real Redis, without the rest of the house."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import attrs
import orjson
import trio
import trio_websocket
from quart_trio import QuartTrio
from trio_websocket import ConnectionRejected, WebSocketConnection
from wsproto.utilities import LocalProtocolError

from orchestrator import server, websocket
from orchestrator.config.settings import AgentOrchestratorSettings, JwtSettings
from orchestrator.errors import NotFound
from orchestrator.middleware.install import install
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import ChatAccepted
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.queue.tasks import KNOWN_KINDS
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.services.notifications.notification_hub import NotificationHub
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.events.events import BatchLog, EventLog, TaskLog
from orchestrator.store.events.frames import make_body
from orchestrator.store.events.notifications import NotificationLog, NotificationStore
from orchestrator.store.keys import Keys
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.telemetry.metrics import Metrics
from orchestrator.websocket import ConnectionManager
from tests.store.events.log_writer import LogWriter
from tests.support.documented import documented
from tests.support.eventually import PATIENCE, eventually
from tests.support.house import partial_services
from tests.support.recorders.batches import BatchRecorder, a_batch
from tests.support.recorders.chat import ChatRecorder, TranscriptRecorder
from tests.support.recorders.guards import AuditRecorder, ClassLimiterRecorder, RateLimiterRecorder, RevocationRecorder
from tests.support.recorders.sessions import SessionRecorder, TicketRecorder, a_session

SECRET = "a secret that is long enough for HS256"


@attrs.frozen
class BatchKeys(Keys):
    """Names of keys with which a `LogWriter` writes the log of a batch."""

    def session(self, tenant_id: str, session_id: str) -> str:
        return self.batch(tenant_id, session_id)


@attrs.frozen
class Stage:
    """What a test works with: the sessions s1 (ada's), s2 (ada's, closed) and s3 (bob's), and the batch b1 (ada's)."""

    host: str
    port: int
    redis: Redis
    log: LogWriter
    sessions: SessionRecorder
    tickets: TicketRecorder
    chat: ChatRecorder
    audit: AuditRecorder
    manager: ConnectionManager
    revocations: RevocationRecorder
    batch_log: LogWriter
    batches: BatchRecorder
    notifications: NotificationService
    limiter: RateLimiterRecorder
    transcripts: TranscriptRecorder

    def token(self, user: str = "ada", **options: Any) -> str:
        """Make a token of a user of acme."""
        return create_token(SECRET, options.pop("tenant", "acme"), user, **options)

    def handshake(self, *further: str) -> bytes:
        """Return what a client of the session s1 sends first, with further headers."""
        lines = (
            "GET /ws/v1/chat/s1 HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Extensions: permessage-deflate",
            f"Authorization: Bearer {self.token()}",
            *further,
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def raw_client(self, *headers: str) -> trio.SocketStream:
        """Open a socket whose client does nothing by itself: it answers neither pings nor close frames."""
        stream = await trio.open_tcp_stream(self.host, self.port)
        await stream.send_all(self.handshake(*headers))
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
            return documented(orjson.loads(await self.socket.get_message()))

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
                    documented(orjson.loads(await self.socket.get_message()))
            except trio_websocket.ConnectionClosed as closed:
                return int(closed.reason.code) if closed.reason is not None else 1006


class UnknownWorkflows:
    """Knows no workflow."""

    async def asking(self, ctx: RequestContext, session_id: str, node_id: str) -> str | None:
        return None

    async def cancel(self, ctx: RequestContext, task_id: str, **_: object) -> None:
        raise NotFound(f"There is no workflow {task_id}.")


class UnknownRuns:
    """Knows no run."""

    async def find(self, ctx: RequestContext, name: str) -> None:
        raise NotFound(f"There is no workflow {name}.")

    async def input(self, ctx: RequestContext, name: str, *_: object, **__: object) -> None:
        raise NotFound(f"There is no workflow {name}.")

    async def cancel(self, ctx: RequestContext, name: str, **_: object) -> None:
        raise NotFound(f"There is no workflow {name}.")


@asynccontextmanager
async def open_stage(redis_url: str, patience: float = 2 * PATIENCE, **settings: Any) -> AsyncIterator[Stage]:
    """Serve sockets on loopback."""
    # Tokens count seconds: with less leeway, one of a few hundred milliseconds may have expired when it is made.
    tokens = JwtSettings(secret=SECRET, leeway=1.0)
    chosen = AgentOrchestratorSettings(jwt=tokens, redis_url=redis_url, **settings)
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
        sessions, audit, revocations = SessionRecorder(), AuditRecorder(), RevocationRecorder()
        limiter, transcripts = RateLimiterRecorder(), TranscriptRecorder(sessions)
        sessions.keep(session_of("s1"), session_of("s2", SessionState.TERMINATED), session_of("s3", user_id="bob"))
        tickets, chat = TicketRecorder(sessions), ChatRecorder(sessions, partial(_log_accepted, log))
        batches = BatchRecorder({"b1": a_batch("b1", total=9, user_id="ada")})
        services = partial_services(
            settings=chosen,
            batch_log=BatchLog(redis, keys),
            task_log=TaskLog(redis, keys),
            notification_log=NotificationLog(redis, keys),
            workflows=UnknownWorkflows(),
            runs=UnknownRuns(),
            sessions=sessions,
            tickets=tickets,
            batches=batches,
            chat=chat,
            transcripts=transcripts,
            task_updates=TaskUpdateService(DelegationStore(redis, keys, 1000), ReadyTenants(redis, keys), KNOWN_KINDS),
            rate_limiter=limiter,
            class_limiter=ClassLimiterRecorder(),
            event_log=event_log,
            event_hub=hub,
            notifications=NotificationService(store),
            notification_hub=notification_hub,
            audit=audit,
            metrics=Metrics(),
            revocations=revocations,
        )
        app = QuartTrio("stage")
        install(app, chosen, services.metrics, revocations.covers)
        manager = websocket.register(app, services)
        stop = trio.Event()
        binds = await nursery.start(partial(server.serve, app, _config(), shutdown_trigger=stop.wait))
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
                tickets,
                chat,
                audit,
                manager,
                revocations,
                batch_log,
                batches,
                services.notifications,
                limiter,
                transcripts,
            )
        stop.set()
        nursery.cancel_scope.cancel()


def session_of(session_id: str, state: SessionState = SessionState.ACTIVE, user_id: str = "ada") -> Session:
    """A session with an agent named `agent`."""
    return a_session(session_id, state, user_id=user_id, agent_id="agent")


async def _log_accepted(log: LogWriter, ctx: RequestContext, accepted: ChatAccepted) -> None:
    data = ChatStatusUpdate(accepted.message_id, accepted.task_id, accepted.status)
    body = make_body("chat.status_update", data, tenant_id="acme", correlation_id=ctx.correlation_id)
    await log.append_body("chat.status_update", body)


def _config() -> server.ServerConfig:
    config = server.ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    return config
