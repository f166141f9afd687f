"""The socket of services: news of work that was handed on to them, a frame each, and an answer to each.

It follows no log: the next frame is read when the one before has been answered, so a service that sends faster waits.
"""

from collections.abc import Mapping
from typing import Final

import structlog
import trio
from attrs import field, frozen
from quart import Response, Websocket

from orchestrator.errors import NotFound
from orchestrator.middleware.api_keys import Scope
from orchestrator.middleware.exchange import Exchange
from orchestrator.middleware.guards.failed_credentials import credential_of
from orchestrator.middleware.guards.internal_listener import InternalListener
from orchestrator.middleware.refusal_audit import record_key_use
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.models.events.events import Event
from orchestrator.models.tasks.task_updates import TaskComplete, TaskFail, TaskProgress, TaskUpdated
from orchestrator.store.events.events import EventLog
from orchestrator.websocket.connection import Connection
from orchestrator.websocket.dialects.dialect import DEFAULT
from orchestrator.websocket.handlers import ClientFrame, FrameHandler, Frames
from orchestrator.websocket.opening import SessionSocket
from orchestrator.websocket.wire import Wire

ANSWER: Final = "task.updated"
_NAME: Final = "task_updates"
_log = structlog.get_logger("orchestrator.websocket")


async def _take(said: ClientFrame) -> None:
    connection, update = said.connection, said.data
    if update.task_id is None:
        raise NotFound("The frame names no task: 'task_id' is missing.")
    taken: TaskUpdated = await connection.services.task_updates.take(said.ctx, update.task_id, None, update)
    await connection.reply(ANSWER, taken, said.ctx.correlation_id)


UPDATES: Final[Mapping[str, FrameHandler]] = {
    "task.progress": FrameHandler(TaskProgress, _take, counted=True),
    "task.complete": FrameHandler(TaskComplete, _take),
    "task.fail": FrameHandler(TaskFail, _take),
}
"""Every frame that a service may send, by name."""


@frozen
class _Nothing:
    """What is followed here."""

    log: EventLog
    owner_id: str = _NAME
    converses: bool = False
    task_id: str | None = None

    async def look(self, ctx: RequestContext) -> None:
        """See nothing."""

    async def greeting(self, *, recovered: bool) -> list[tuple[str, object]]:
        """Say nothing."""
        return []

    async def beginning(self) -> None:
        """Begin at the end."""

    def over(self) -> str | None:
        """Say nothing: services may always have more to tell."""
        return None

    def ending(self, event: Event) -> str | None:
        """Say nothing, as above."""
        return None


class UpdateConnection(Connection):
    """An accepted socket of a service."""

    __slots__ = ()

    async def serve(self) -> None:
        """Serve the socket until it is closed."""
        await self.run_with(self._write_nothing)

    async def _write_nothing(self) -> None:
        self._written.set()

    def _frames(self) -> Frames:
        return Frames(self, self._authenticator, UPDATES)


@frozen
class UpdateSocket(SessionSocket):
    """Opens and serves the sockets of services, by their API keys."""

    internal_listener: InternalListener = field(kw_only=True)

    async def serve_service(self, websocket: Websocket) -> Response | None:
        """Serve a socket to its end; returns the answer that refuses it, if it is refused."""
        return await self.serve(websocket, _NAME)

    async def _serve(self, websocket: Websocket, session_id: str, exchange: Exchange, accepted: trio.Event) -> None:
        self.manager.check()
        self.address_limiter.check(exchange.address)
        credential = credential_of(exchange.headers)
        self.authenticator.failures.check(exchange.address, credential)
        principal: Principal = self.authenticator.service(exchange.headers, Scope.INTERNAL)
        self.authenticator.failures.passed(credential)
        exchange.tenant_id = principal.tenant_id
        self.internal_listener.check(websocket.scope, principal)
        ctx = self._context(websocket, exchange, principal)
        await record_key_use(
            self.services.audit,
            name=principal.name,
            door=_NAME,
            remote_address=ctx.remote_address,
            correlation_id=ctx.correlation_id,
        )
        wire = Wire(websocket)
        connection = UpdateConnection(
            wire, self.services, ctx, session_id, _Nothing(self.services.event_log), self.authenticator, DEFAULT
        )
        with self.manager.place(principal.tenant_id):
            accepted.set()
            await wire.accept(None)
            with self.manager.keep(connection):
                await connection.serve()
