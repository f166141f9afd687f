"""The one way every route is handled: who asks, how often, what was sent; then its handler; then the envelope."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import structlog
from attrs import NOTHING, fields, frozen
from quart import Request, Response

from orchestrator.codec import structure
from orchestrator.errors import (
    InvalidBody,
    InvalidParameter,
    OrchestratorError,
    PermissionMissing,
    RateLimited,
    StoreUnavailable,
    Unauthorized,
)
from orchestrator.frameworks.quart_inside import current_request
from orchestrator.middleware.api_keys import Scope
from orchestrator.middleware.auth import Authenticator
from orchestrator.middleware.context import Marks, make_context, read_marks
from orchestrator.middleware.errors import error_answer
from orchestrator.middleware.exchange import Exchange, answer
from orchestrator.middleware.guards.failed_credentials import credential_of
from orchestrator.middleware.guards.internal_listener import InternalListener
from orchestrator.middleware.refusal_audit import AUDITED, record_key_use, record_refusal
from orchestrator.models.common.envelope import FieldFault, RequestEnvelope
from orchestrator.models.common.ids import ID_PATTERN, is_id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.routes.http.bodies import Nothing, QueryReader, open_envelope, read_body
from orchestrator.routes.http.open_streams import OpenStreams
from orchestrator.routes.http.registry import Access, Route, RouteAnswer, RouteCall
from orchestrator.routes.http.stream_tickets import StreamQuery, check_subject
from orchestrator.services.container import Services
from orchestrator.services.shared.rate_limiter import nearer

LARGE_BYTES: Final = 16_384
"""A body above this is read only once the rate limit has been looked at, also where the handler counts the request."""


@frozen
class EndpointDeps:
    """What all endpoints share."""

    services: Services
    authenticator: Authenticator
    streams: OpenStreams
    internal_listener: InternalListener


class Endpoint:
    """Handles the requests of one route."""

    def __init__(self, route: Route, deps: EndpointDeps) -> None:
        self._route = route
        self._deps = deps
        self._query = QueryReader(route.query)
        self._body = route.body or Nothing

    def view(self) -> Callable[..., Awaitable[Response]]:
        """Return what the framework calls."""

        async def view(**ids: str) -> Response:
            return await self.handle(current_request(), ids)

        return view

    async def handle(self, request: Request, ids: dict[str, str]) -> Response:
        """Answer a request, whatever happens."""
        exchange = Exchange.begin(request.scope)
        principal: Principal | None = None
        try:
            principal = await self._known(request, exchange, ids)
            if self._route.access is not Access.BEARER:
                await record_key_use(
                    self._deps.services.audit,
                    name=principal.user_id,
                    door=self._route.name,
                    remote_address=exchange.address,
                    correlation_id=exchange.correlation_id,
                )
            exchange.tenant_id = principal.tenant_id or None
            return await self._serve(request, exchange, principal, ids)
        except Exception as error:  # noqa: BLE001 # the boundary: each becomes an answer, unknown ones are logged
            if isinstance(error, AUDITED):
                await self._audit(request, exchange, principal, error)
            elif isinstance(error, RateLimited):
                self._deps.services.metrics.rate_limited("http", error.code)
            return error_answer(exchange, error)

    async def _known(self, request: Request, exchange: Exchange, ids: dict[str, str]) -> Principal:
        """Find out who asks; an address whose credentials fail too often has to wait first."""
        failures = self._deps.authenticator.failures
        credential = credential_of(exchange.headers) or self._ticket(request, exchange)
        failures.check(exchange.address, credential)
        try:
            principal = await self._authenticate(request, exchange, ids)
        except Unauthorized:
            await failures.failed(exchange.address, credential)
            raise
        failures.passed(credential)
        return principal

    async def _authenticate(self, request: Request, exchange: Exchange, ids: dict[str, str]) -> Principal:
        route = self._route
        if route.access is Access.BEARER:
            principal = await self._holder(request, exchange)
            if route.permission is not None and not principal.may(route.permission):
                exchange.tenant_id = principal.tenant_id
                raise PermissionMissing(f"The token lacks the permission '{route.permission}'.")
            return principal
        principal = self._service(exchange, ids)
        self._deps.internal_listener.check(request.scope, principal)
        return principal

    def _service(self, exchange: Exchange, ids: dict[str, str]) -> Principal:
        """Return whose API key the request carries."""
        headers = exchange.headers
        if self._route.access is Access.INTERNAL:
            return self._deps.authenticator.service(headers, Scope.INTERNAL)
        if self._route.access is Access.OPERATOR:
            return self._deps.authenticator.service(headers, Scope.ADMIN)
        # Administration concerns the tenant in the path, or none at all.
        tenant = ids.get("tenant_id", "")
        in_path = is_id(tenant)
        named = {**headers, "x-tenant-id": tenant} if in_path else headers
        return self._deps.authenticator.service(named, Scope.ADMIN, tenant_needed=False, tenant_in_path=in_path)

    async def _holder(self, request: Request, exchange: Exchange) -> Principal:
        """Return whose token the request carries, or whose ticket."""
        authenticator, headers = self._deps.authenticator, exchange.headers
        ticket = self._ticket(request, exchange)
        if ticket is not None:
            principal, exchange.ticket_of = await self._deps.services.tickets.take(ticket)
            return authenticator.unrevoked(principal)
        return await authenticator.principal(headers, tenant=headers.get("x-tenant-id"))

    def _ticket(self, request: Request, exchange: Exchange) -> str | None:
        """Return the ticket by which a stream is asked for; None: there is none, or a token beside it."""
        if self._route.query is not StreamQuery or "authorization" in exchange.headers:
            return None
        ticket: str | None = self._query.read(request.query_string).ticket
        return ticket

    async def _serve(self, request: Request, exchange: Exchange, principal: Principal, ids: dict[str, str]) -> Response:
        route, services = self._route, self._deps.services
        marks = read_marks(exchange.headers)
        path_id = self._id(ids)
        query = self._query.read(request.query_string)
        # A body costs more than a look at the limits: who may not pass is told so before it is read.
        await self._limit(exchange, principal)
        envelope, body = await self._read(request, exchange, principal)
        if exchange.ticket_of is not None:
            check_subject(exchange.ticket_of, body)
        ctx = self._context(request, exchange, principal, marks, envelope)
        given = await route.handler(RouteCall(ctx, services, exchange, self._deps.streams, body, query, path_id))
        if isinstance(given, Response):
            return given
        return self._answer(exchange, ctx, given)

    async def _limit(self, exchange: Exchange, principal: Principal) -> None:
        """Count the request against its limits; what is at hand without Redis goes on while that is away."""
        route, services = self._route, self._deps.services
        try:
            if route.rate_class is not None:
                exchange.rate = await services.class_limiter.check(principal, route.rate_class)
            # Who administers a tenant does not share its limits: they must not keep it from being paused.
            if route.rate_class is RateClass.ADMIN:
                return
            if not route.own_rate:
                exchange.rate = nearer(await services.rate_limiter.check(principal), exchange.rate)
            elif route.access is Access.BEARER and _is_large(exchange.headers):
                await services.rate_limiter.check(principal, cost=0)
        except StoreUnavailable:
            if not route.cached:
                raise

    def _id(self, ids: dict[str, str]) -> str:
        for name, value in ids.items():
            if not is_id(value):
                fault = FieldFault(f"$.path.{name}", f"must match {ID_PATTERN}")
                raise InvalidParameter(f"The id in the path {fault.message}.", details=[fault])
            return value
        return ""

    async def _read(
        self, request: Request, exchange: Exchange, principal: Principal
    ) -> tuple[RequestEnvelope | None, Any]:
        route = self._route
        if route.method == "GET":
            return None, None
        raw = await read_body(request, exchange.headers)
        if not raw and (route.body is None or not _asks(route.body)):
            return None, None if route.body is None else route.body()
        envelope, path = open_envelope(raw, route.name, principal.tenant_id)
        if route.body is None and envelope.data is None:
            return envelope, None
        if self._body is dict:
            return envelope, _free(envelope.data, path)
        return envelope, structure(envelope.data, self._body, path)

    def _context(
        self,
        request: Request,
        exchange: Exchange,
        principal: Principal,
        marks: Marks,
        envelope: RequestEnvelope | None,
    ) -> RequestContext:
        if envelope is not None and envelope.correlation_id and not marks.correlation_id:
            exchange.correlation_id = envelope.correlation_id
        structlog.contextvars.bind_contextvars(
            tenant_id=principal.tenant_id,
            correlation_id=exchange.correlation_id,
            request_id=exchange.request_id,
            trace_id=marks.trace.trace_id,
        )
        return make_context(
            principal,
            marks,
            envelope,
            request_id=exchange.request_id,
            correlation_id=exchange.correlation_id,
            remote_address=exchange.address,
        )

    def _answer(self, exchange: Exchange, ctx: RequestContext, given: RouteAnswer) -> Response:
        route = self._route
        if given.rate is not None:
            exchange.rate = nearer(given.rate, exchange.rate)
        pagination = None
        if given.limit is not None:
            pagination = {
                "limit": given.limit,
                "has_more": given.next_cursor is not None,
                "next_cursor": given.next_cursor,
            }
        return answer(
            exchange,
            given.kind or route.answers,
            given.data,
            status=given.status or route.status,
            message_id=ctx.message_id or given.message_id,
            pagination=pagination,
            headers={"Idempotent-Replayed": "true"} if given.replayed else None,
        )

    async def _audit(
        self, request: Request, exchange: Exchange, principal: Principal | None, error: OrchestratorError
    ) -> None:
        await record_refusal(
            self._deps.services.audit,
            error,
            door=self._route.name,
            tenant_id=exchange.tenant_id or "",
            user_id=principal.user_id if principal else "",
            remote_address=exchange.address,
            correlation_id=exchange.correlation_id,
        )


def _is_large(headers: Mapping[str, str]) -> bool:
    """Tell whether a body is announced as large, or not announced at all (`Transfer-Encoding: chunked`)."""
    length = headers.get("content-length", "0" if "transfer-encoding" not in headers else "")
    return not length.isdecimal() or int(length) > LARGE_BYTES


def _asks(model: type) -> bool:
    """Tell whether a body has to say something: a field without default."""
    return model is dict or any(attribute.default is NOTHING for attribute in fields(model))


def _free(data: Any, path: str) -> dict[str, Any]:
    """Take a body whose fields another service checks."""
    if not isinstance(data, dict):
        raise InvalidBody("The body must be an object.", details=[FieldFault(path, "must be an object")])
    return data
