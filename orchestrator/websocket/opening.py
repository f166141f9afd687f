"""The handshake: who comes, from where, to which session; refusals are HTTP answers before the upgrade."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import structlog
import trio
from attrs import frozen
from quart import Response, Websocket

from orchestrator.errors import (
    CredentialsMissing,
    InvalidParameter,
    NotFound,
    OrchestratorError,
    PermissionMissing,
    RateLimited,
    Unauthorized,
)
from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.middleware.auth import Authenticator
from orchestrator.middleware.context import make_context, read_marks
from orchestrator.middleware.errors import error_answer, told_error
from orchestrator.middleware.exchange import Exchange
from orchestrator.middleware.guards.failed_credentials import credential_of
from orchestrator.middleware.guards.forwarded import RemoteAddress
from orchestrator.middleware.headers import AnswerHeaders
from orchestrator.middleware.refusal_audit import AUDITED, record_refusal
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.services.container import Services
from orchestrator.services.subjects import (
    SESSION_PERMISSION,
    WORKFLOW_PERMISSION,
    SessionSubject,
    Subject,
    subject_of_run,
)
from orchestrator.telemetry.log_context import log_with
from orchestrator.websocket.connection import Connection
from orchestrator.websocket.connection_manager import ConnectionManager
from orchestrator.websocket.dialects.dialect import choose
from orchestrator.websocket.refusals import TOKEN, asks_to_be_told, tell_refusal
from orchestrator.websocket.wire import Wire

_BEARER: Final = "bearer."
_ORIGIN_SHOWN: Final = 200
"""Characters of an origin that its refusal repeats."""
_log = structlog.get_logger("orchestrator.websocket")


@frozen
class SessionSocket:
    """Opens and serves the sockets of sessions."""

    services: Services
    manager: ConnectionManager
    authenticator: Authenticator
    remote_address: RemoteAddress
    address_limiter: AddressLimiter
    origins: AnswerHeaders
    permission: str = SESSION_PERMISSION
    domain: str = "session"
    """Of what is followed."""

    async def serve(self, websocket: Websocket, session_id: str) -> Response | None:
        """Serve a socket to its end; returns the answer that refuses it, if it is refused."""
        scope: Any = websocket.scope
        exchange = Exchange.begin(scope)
        self.remote_address.complete(scope, exchange.headers)
        exchange.address = self.remote_address.of(scope, exchange.headers)
        exchange.session_id = session_id if is_id(session_id) else None
        log_with(exchange.log_fields)
        accepted = trio.Event()
        try:
            await self._serve(websocket, session_id, exchange, accepted)
        except Exception as error:  # noqa: BLE001 # the boundary: each becomes an answer, unknown ones are logged
            if accepted.is_set():
                _log.exception("socket.failed")
                return None
            if isinstance(error, Unauthorized):
                await self.authenticator.failures.failed(exchange.address, _credential(websocket, exchange))
            if isinstance(error, AUDITED):
                await self._audit(websocket, exchange, error)
            elif isinstance(error, RateLimited):
                self.services.metrics.rate_limited("websocket", error.code)
            wire = Wire(websocket)
            if asks_to_be_told(websocket.args, wire.offered):
                await tell_refusal(wire, told_error(exchange, error), exchange, self.domain)
                return None
            return error_answer(exchange, error)
        return None

    async def _serve(self, websocket: Websocket, session_id: str, exchange: Exchange, accepted: trio.Event) -> None:
        self.manager.check()
        self.address_limiter.check(exchange.address)
        self._check_origin(exchange.headers)
        if not is_id(session_id):
            raise NotFound("There is no such session.")
        after, epoch = _resume_point(websocket.args)
        credential = _credential(websocket, exchange)
        self.authenticator.failures.check(exchange.address, credential)
        principal = await self._principal(websocket, exchange, session_id)
        self.authenticator.failures.passed(credential)
        exchange.tenant_id = principal.tenant_id
        if not principal.may(self.permission):
            raise PermissionMissing(f"The token lacks the permission '{self.permission}'.")
        ctx = self._context(websocket, exchange, principal)
        await self.services.class_limiter.check(ctx.principal, RateClass.STREAM)
        await self.services.rate_limiter.check(ctx.principal)
        wire = Wire(websocket)
        dialect, selected = choose(wire.offered)
        subject = await self._subject(ctx, session_id)
        connection = Connection(wire, self.services, ctx, subject.owner_id, subject, self.authenticator, dialect)
        streams = self.services.open_streams
        place = nullcontext() if streams is None else streams.held(principal.tenant_id, exchange.address)
        with place, self.manager.place(principal.tenant_id), self._audience(connection):
            async with self.services.event_hub.follow(
                principal.tenant_id,
                subject.owner_id,
                after=after,
                epoch=epoch,
                log=subject.log,
                capacity=self.services.settings.ws_outbox,
                on_overflow=connection.too_slow,
                pass_on=connection.pass_on,
            ) as follower:
                # Asked only now, so that no transition falls between this state and the first event.
                await subject.look(ctx)
                if after is None and (begin := await subject.beginning()) is not None:
                    await follower.resume(begin, None)
                accepted.set()
                # The headers are not kept for as long as the socket is open.
                known = exchange.log_fields()
                log_with(lambda: known)
                await wire.accept(selected)
                with self.manager.keep(connection):
                    await connection.run(follower)

    async def _subject(self, ctx: RequestContext, session_id: str) -> Subject:
        return SessionSubject(self.services, session_id)

    def _audience(self, connection: Connection) -> AbstractContextManager[None]:
        """Hear what the user is notified of meanwhile."""
        hub = self.services.notification_hub
        return hub.listening(connection.tenant_id, connection.principal.user_id, connection.notify)

    async def _principal(self, websocket: Websocket, exchange: Exchange, session_id: str | None) -> Principal:
        """Find out who comes: by header, by ticket (of this session; None: of any), by parameter, or by subprotocol."""
        tenant = exchange.headers.get("x-tenant-id")
        if "authorization" in exchange.headers:
            return await self.authenticator.principal(exchange.headers, tenant=tenant)
        ticket = websocket.args.get("ticket")
        if ticket is not None:
            return self.authenticator.unrevoked(await self.services.tickets.redeem(ticket, session_id))
        token = websocket.args.get(TOKEN)
        if token is not None:
            return await self.authenticator.principal_of(token, tenant=tenant)
        for offered in websocket.requested_subprotocols:
            if offered.startswith(_BEARER):
                return await self.authenticator.principal_of(offered.removeprefix(_BEARER), tenant=tenant)
        raise CredentialsMissing(
            "Send a token in the header 'Authorization: Bearer …', as subprotocol 'bearer.…', or use '?ticket='."
        )

    def _check_origin(self, headers: Mapping[str, str]) -> None:
        """Refuse pages of other sites; what is no browser sends no origin."""
        origin = headers.get("origin")
        if origin is None or self.origins.allows(origin):
            return
        host = origin.partition("://")[2]
        if host and host in {
            headers.get("host"),
            self.services.settings.public_url.partition("://")[2].partition("/")[0],
        }:
            return
        self.origins.report(origin)
        fault = FieldFault("$.headers.Origin", f"{origin[:_ORIGIN_SHOWN]!r} is not in ORCH_ALLOWED_ORIGINS")
        raise PermissionMissing(
            "Pages of this origin may not connect; the setting ORCH_ALLOWED_ORIGINS names those that may.",
            details=[fault],
        )

    def _context(self, websocket: Websocket, exchange: Exchange, principal: Principal) -> RequestContext:
        return make_context(
            principal,
            read_marks(exchange.headers),
            None,
            request_id=exchange.request_id,
            correlation_id=exchange.correlation_id,
            remote_address=exchange.address,
        )

    async def _audit(self, websocket: Websocket, exchange: Exchange, error: OrchestratorError) -> None:
        await record_refusal(
            self.services.audit,
            error,
            door="websocket",
            tenant_id=exchange.tenant_id or "",
            remote_address=exchange.address,
            correlation_id=exchange.correlation_id,
        )


@frozen
class WorkflowSocket(SessionSocket):
    """Opens and serves the sockets of workflows and of batches."""

    permission: str = WORKFLOW_PERMISSION
    domain: str = "workflow"

    async def _subject(self, ctx: RequestContext, session_id: str) -> Subject:
        return await subject_of_run(self.services, ctx, session_id)

    def _audience(self, connection: Connection) -> AbstractContextManager[None]:
        return nullcontext()


def _credential(websocket: Websocket, exchange: Exchange) -> str | None:
    """Return the credential of a handshake; None: it has none."""
    token = websocket.args.get(TOKEN)
    named = {"authorization": f"Bearer {token}"} if token is not None else {}
    return credential_of(exchange.headers) or websocket.args.get("ticket") or credential_of(named)


def _resume_point(args: Mapping[str, str]) -> tuple[int | None, str | None]:
    offset = args.get("last_offset")
    if offset is None:
        return None, None
    if not (offset.isascii() and offset.isdigit() and len(offset) < 16):
        fault = FieldFault("$.query.last_offset", "must be a whole number")
        raise InvalidParameter(f"{fault.path} {fault.message}.", details=[fault])
    return int(offset), args.get("epoch")
