"""What a client may say on a session's socket: one table of frames, and what is done about each."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
import trio
from attrs import evolve, frozen

from orchestrator.codec import parse_request, structure
from orchestrator.config.constants import BAD_FRAMES_PER_MINUTE, MAX_FRAME_BYTES
from orchestrator.errors import (
    CallTimeout,
    InternalFault,
    InvalidBody,
    NotFound,
    OrchestratorError,
    PermissionMissing,
    RateLimited,
    StoreUnavailable,
    TenantNotGranted,
    Unauthorized,
    Unprocessable,
)
from orchestrator.middleware.auth import Authenticator
from orchestrator.middleware.guards.failed_credentials import credential_of
from orchestrator.middleware.refusal_audit import AUDITED, FOREIGN, record_refusal
from orchestrator.models.common.envelope import FieldFault, RequestEnvelope
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.common.principal import RequestContext, TraceContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.events.events import (
    ChatCancel,
    ChatStatusUpdate,
    SessionSync,
    SystemAuth,
    SystemAuthenticated,
    SystemPing,
    SystemPong,
    ToolResult,
)
from orchestrator.models.plans.workflow import WorkflowCancel, WorkflowInput, WorkflowInputFrame
from orchestrator.models.sessions.chat import ChatCancel as CancelRequest
from orchestrator.models.sessions.chat import ChatTurn
from orchestrator.services.shared.traces import current_trace
from orchestrator.telemetry.tracing.doors import begin_frame
from orchestrator.telemetry.tracing.spans import NO_SPAN
from orchestrator.websocket.dialects.client_frames import MessageCancel, RunCancel, SyncByMessage, read_frame
from orchestrator.websocket.documented_frames import cancel_run, sync_by_message
from orchestrator.websocket.peer import Peer, Sync

HANDLE_SECONDS: Final = 15.0
"""Deadline of what one frame asks for."""
LARGE_FRAME: Final = 16_384
"""A frame of more characters is read only once the rate limit has been looked at."""
TOO_BIG, TOO_MANY_BAD = 1009, 4400

_log = structlog.get_logger("orchestrator.websocket")


@frozen
class ClientFrame:
    """A frame, read and checked."""

    connection: Peer
    authenticator: Authenticator
    ctx: RequestContext
    data: Any


@frozen
class FrameHandler:
    """What is done about one type of frame."""

    model: type
    act: Callable[[ClientFrame], Awaitable[None]]
    permission: str | None = None
    counted: bool = False
    """Whether the rate limit counts it here; a message is counted where it is admitted."""


async def _message(said: ClientFrame) -> None:
    if not said.connection.converses:
        raise NotFound("There is no session on this socket to say it to.")
    admitted = await said.connection.services.chat.send(said.ctx, said.connection.session_id, said.data)
    if admitted.replayed:
        # The log told of it when it came first; this frame is answered all the same, as things stand now.
        accepted = admitted.accepted
        standing = await said.connection.services.chat.standing(said.ctx, accepted)
        status = ChatStatusUpdate(accepted.message_id, accepted.task_id, standing)
        await said.connection.reply("chat.status_update", status, said.ctx.correlation_id)


async def _cancel(said: ClientFrame) -> None:
    asked = said.data
    request = CancelRequest(None, asked.session_id, asked.reason) if isinstance(asked, MessageCancel) else None
    await said.connection.services.chat.cancel(said.ctx, asked.message_id, request)


async def _tool_result(said: ClientFrame) -> None:
    await said.connection.services.chat.tool_result(said.ctx, said.connection.session_id, said.data)


async def _workflow_input(said: ClientFrame) -> None:
    connection, services = said.connection, said.connection.services
    given: WorkflowInputFrame = said.data
    run = given.task_id or connection.task_id
    if run is None and connection.converses:
        run = await services.workflows.asking(said.ctx, connection.session_id, given.node_id)
    if run is None:
        raise NotFound("There is no workflow on this socket to say it to.")
    answer = WorkflowInput(given.node_id, given.input)
    await services.runs.input(said.ctx, run, answer, of_session=_session_of(connection))


async def _workflow_cancel(said: ClientFrame) -> None:
    connection = said.connection
    if isinstance(said.data, RunCancel):
        await cancel_run(connection, said.ctx, said.data)
        return
    task_id = said.data.task_id or connection.task_id
    if task_id is None:
        fault = FieldFault("$.data.task_id", "required field is missing")
        raise InvalidBody("Name the workflow that shall be stopped.", details=[fault])
    workflows = connection.services.workflows
    await workflows.cancel(said.ctx, task_id, reason=said.data.reason, of_session=_session_of(connection))


def _session_of(connection: Peer) -> str | None:
    """Return the session whose workflows alone are spoken to on this socket; None: any of the user's."""
    return connection.session_id if connection.converses else None


async def _sync(said: ClientFrame) -> None:
    if isinstance(said.data, SyncByMessage):
        await sync_by_message(said.connection, said.ctx, said.data)
    else:
        said.connection.resume(Sync(said.data.last_offset, said.data.epoch, said.ctx))


async def _auth(said: ClientFrame) -> None:
    holder, failures, address = said.connection.principal, said.authenticator.failures, said.connection.remote_address
    credential = credential_of({"authorization": f"Bearer {said.data.token}"})
    failures.check(address, credential)
    try:
        principal = await said.authenticator.principal_of(said.data.token, tenant=holder.tenant_id)
    except Unauthorized:
        await failures.failed(address, credential)
        raise
    failures.passed(credential)
    if principal.user_id != holder.user_id:
        raise Unauthorized("The token belongs to another user; open another socket for it.")
    # Compared with the first token: one that gave more in between is no reason to refuse what was good at the start.
    if not principal.covers(said.connection.opened_by):
        raise PermissionMissing("The token gives less than the one with which the socket was opened.")
    said.connection.renew(principal)
    expires_at = to_timestamp(round(principal.expires_at * 1000))
    await said.connection.reply("system.authenticated", SystemAuthenticated(expires_at), said.ctx.correlation_id)


async def _ping(said: ClientFrame) -> None:
    pong = SystemPong(said.data.client_timestamp, to_timestamp(now_ms()))
    await said.connection.reply("system.pong", pong, said.ctx.correlation_id)


HANDLERS: Final[Mapping[str, FrameHandler]] = {
    "chat.message": FrameHandler(ChatTurn, _message, permission="chat:write"),
    "chat.cancel": FrameHandler(ChatCancel, _cancel, permission="chat:write", counted=True),
    "tool.result": FrameHandler(ToolResult, _tool_result, permission="chat:write", counted=True),
    "workflow.input": FrameHandler(WorkflowInputFrame, _workflow_input, permission="workflow:execute", counted=True),
    "workflow.cancel": FrameHandler(WorkflowCancel, _workflow_cancel, permission="workflow:execute", counted=True),
    "session.sync": FrameHandler(SessionSync, _sync, counted=True),
    "system.auth": FrameHandler(SystemAuth, _auth, counted=True),
    "system.ping": FrameHandler(SystemPing, _ping),
}
"""Every frame that a client may send, by name."""


class _BadFrame(Exception):
    """A frame that can't be read, or is none that clients send; the fault is its cause."""

    def __init__(self, fault: OrchestratorError, envelope: RequestEnvelope | None) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.envelope = envelope


class Frames:
    """Handles the frames of one socket, in the order they come.

    Args:
        connection: the socket.
        authenticator: for tokens that are renewed.
        table: what may be said, by name.
    """

    def __init__(
        self, connection: Peer, authenticator: Authenticator, table: Mapping[str, FrameHandler] = HANDLERS
    ) -> None:
        self._table = table
        self._connection = connection
        self._authenticator = authenticator
        self._bad: deque[float] = deque(maxlen=BAD_FRAMES_PER_MINUTE)

    async def handle(self, raw: str | bytes) -> None:
        """Do what a frame asks for; whatever is wrong with it, or goes wrong, is told to the client."""
        if _size(raw) > MAX_FRAME_BYTES:
            self._connection.end(TOO_BIG, "frame over 1 MiB")
            return
        try:
            if len(raw) > LARGE_FRAME and not await self._may_go_on():
                return
            envelope, name, data = _read(raw, self._table)
        except _BadFrame as bad:
            await self._complain(bad.fault, bad.envelope)
            self._count_bad()
            return
        try:
            with trio.fail_after(HANDLE_SECONDS):
                await self._act(envelope, name, data)
        except OrchestratorError as error:
            if isinstance(error, RateLimited):
                self._connection.services.metrics.rate_limited("websocket", error.code)
            elif isinstance(error, StoreUnavailable):
                _log.warning(
                    "frame.store_unavailable", frame=name, session_id=self._connection.session_id, reason=error.reason
                )
            elif isinstance(error, (*AUDITED, *FOREIGN)):
                await self._audit(error, envelope, name)
            await self._complain(error, envelope)
        except trio.TooSlowError:
            await self._complain(CallTimeout("The service was too slow; try again."), envelope)
        except Exception:  # noqa: BLE001 # the boundary of one frame: logged, and told to the client
            _log.exception("frame.failed", frame=name, session_id=self._connection.session_id)
            await self._complain(InternalFault("The service failed; its log has the reason."), envelope)

    async def _may_go_on(self) -> bool:
        """Look at the rate limit before a large frame is read; tells the client where it is reached."""
        try:
            with trio.fail_after(HANDLE_SECONDS):
                await self._connection.services.rate_limiter.check(self._connection.principal, cost=0)
        except (OrchestratorError, trio.TooSlowError) as error:
            refused = error if isinstance(error, OrchestratorError) else CallTimeout("The service was too slow.")
            if isinstance(refused, RateLimited):
                self._connection.services.metrics.rate_limited("websocket", refused.code)
            await self._complain(refused, None)
            return False
        return True

    async def _act(self, envelope: RequestEnvelope, name: str, data: Any) -> None:
        connection, handler = self._connection, self._table[name]
        principal = connection.principal
        if envelope.tenant_id not in {None, principal.tenant_id}:
            fault = FieldFault("$.tenant_id", "is not the tenant of the token")
            raise TenantNotGranted("The frame names another tenant than the token.", details=[fault])
        if handler.permission is not None and not principal.may(handler.permission):
            raise PermissionMissing(f"The token lacks the permission '{handler.permission}'.")
        ctx = RequestContext(
            principal=principal,
            request_id=new_id(),
            correlation_id=envelope.correlation_id or new_id(),
            trace=TraceContext.new(),
            message_id=envelope.message_id,
            idempotency_key=envelope.message_id,
            remote_address=connection.remote_address,
        )
        # What takes a permission asks for work; the rest concerns the socket alone.
        with begin_frame(name, ctx, connection.session_id) if handler.permission else NO_SPAN:
            if handler.model is not SystemPing:
                await connection.services.class_limiter.check(principal, RateClass.WRITE)
            if handler.counted:
                await connection.services.rate_limiter.check(principal)
            ctx = evolve(ctx, trace=current_trace() or ctx.trace)
            await handler.act(ClientFrame(connection, self._authenticator, ctx, data))

    async def _audit(self, error: OrchestratorError, envelope: RequestEnvelope, name: str) -> None:
        connection = self._connection
        await record_refusal(
            connection.services.audit,
            error,
            door=name,
            tenant_id=connection.principal.tenant_id,
            user_id=connection.principal.user_id,
            remote_address=connection.remote_address,
            correlation_id=envelope.correlation_id or "",
            frame=True,
        )

    async def _complain(self, error: OrchestratorError, envelope: RequestEnvelope | None) -> None:
        message_id = envelope.message_id if envelope else None
        correlation_id = envelope.correlation_id if envelope else None
        about = envelope.type.domain if envelope and envelope.type else "session"
        await self._connection.complain(
            error, parent_id=message_id, correlation_id=correlation_id or new_id(), about=about
        )

    def _count_bad(self) -> None:
        now = time.monotonic()
        self._bad.append(now)
        if len(self._bad) == BAD_FRAMES_PER_MINUTE and now - self._bad[0] < 60:
            self._connection.end(TOO_MANY_BAD, "too many bad frames")


def _read(raw: str | bytes, table: Mapping[str, FrameHandler] = HANDLERS) -> tuple[RequestEnvelope, str, Any]:
    """Read a frame as envelope, name and data.

    Raises:
        _BadFrame: with the path of each fault.
    """
    envelope: RequestEnvelope | None = None
    try:
        if not isinstance(raw, str):
            raise _fault("$", "must be a text frame")
        envelope = structure(parse_request(raw), RequestEnvelope)
        if (wrong := envelope.version_fault) is not None:
            raise Unprocessable(f"The frame's version {wrong.message}.", details=[wrong])
        if envelope.type is None:
            raise _fault("$.type", "required field is missing")
        name = str(envelope.type)
        if name not in table:
            raise _fault("$.type", f"is no frame that clients send: {name!r}")
        return envelope, name, read_frame(name, envelope.data, table[name].model)
    except (InvalidBody, Unprocessable) as error:
        raise _BadFrame(error, envelope) from error


def _fault(path: str, message: str) -> InvalidBody:
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])


def _size(raw: str | bytes) -> int:
    # Characters take at least a byte each, and ASCII exactly one: only the rest has to be encoded to be measured.
    return len(raw) if isinstance(raw, bytes) or raw.isascii() else len(raw.encode())
