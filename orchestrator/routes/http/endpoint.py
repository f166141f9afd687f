"""The one way every route is handled: who asks, how often, what was sent; then its handler; then the envelope."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from attrs import evolve, frozen
from quart import Request, Response

from orchestrator.codec import parse_request, unstructure
from orchestrator.errors import (
    ClientFault,
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
from orchestrator.middleware.service_tokens import ServiceTokens
from orchestrator.models.common.envelope import FieldFault, RequestEnvelope
from orchestrator.models.common.ids import ID_PATTERN, is_id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.common.principal import Principal, RequestContext, Role
from orchestrator.routes.dialects.answering import add_names
from orchestrator.routes.dialects.record import Answered
from orchestrator.routes.dialects.table import dialect_of
from orchestrator.routes.http.bodies import Nothing, QueryReader
from orchestrator.routes.http.body_reader import BodyReader
from orchestrator.routes.http.frontends import Frontends, follows_the_guide, is_large
from orchestrator.routes.http.open_streams import OpenStreams
from orchestrator.routes.http.registry import Access, Route, RouteAnswer, RouteCall
from orchestrator.routes.http.stream_tickets import StreamQuery, check_subject
from orchestrator.services.container import Services
from orchestrator.services.shared.rate_limiter import nearer
from orchestrator.telemetry.log_context import log_with

UNREAD: Final = (*AUDITED, RateLimited)
"""What may refuse a request before its body is read."""


@frozen
class EndpointDeps:
    """What all endpoints share."""

    services: Services
    authenticator: Authenticator
    streams: OpenStreams
    internal_listener: InternalListener
    service_tokens: ServiceTokens


class Endpoint:
    """Handles the requests of one route.

    Args:
        route: the route.
        deps: what all endpoints share.
        fills: the field of the body that the id in the path stands for; None: that is the route's own id.
    """

    def __init__(self, route: Route, deps: EndpointDeps, *, fills: str | None = None) -> None:
        self._route = route
        self._deps = deps
        self._dialect = dialect = dialect_of(route.method, route.name)
        self._query = QueryReader(route.query, None if dialect is None else dialect.read_query)
        self._body = BodyReader(route, dialect, fills)
        self._frontends = Frontends(route.name)

    def view(self) -> Callable[..., Awaitable[Response]]:
        """Return what the framework calls."""

        async def view(**ids: str) -> Response:
            return await self.handle(current_request(), ids)

        return view

    async def handle(self, request: Request, ids: dict[str, str]) -> Response:
        """Answer a request, whatever happens."""
        exchange = Exchange.begin(request.scope)
        log_with(exchange.log_fields)
        self._frontends.look(exchange)
        principal: Principal | None = None
        try:
            principal = await self._known(request, exchange, ids)
            if self._route.access is not Access.BEARER and not self._by_token(exchange):
                await record_key_use(
                    self._deps.services.audit,
                    name=principal.name,
                    door=self._route.name,
                    remote_address=exchange.address,
                    correlation_id=exchange.correlation_id,
                )
            exchange.tenant_id = principal.tenant_id or None
            return await self._serve(request, exchange, principal, ids)
        except Exception as error:  # noqa: BLE001 # the boundary: each becomes an answer, unknown ones are logged
            if isinstance(error, UNREAD) and self._route.access is Access.BEARER:
                await self._frontends.overhear(request, exchange)
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
        if route.access is Access.SERVICE:
            return await self._deps.service_tokens.principal(exchange.headers, partial(_tenant_in, request))
        if route.access is Access.BEARER or self._by_token(exchange):
            principal = await self._holder(request, exchange)
            if not route.admits(principal):
                exchange.tenant_id = principal.tenant_id
                wanted = route.permission or route.holder_permission
                raise PermissionMissing(f"The token lacks the permission '{wanted}'.")
            return principal
        principal = self._service(exchange, ids)
        self._deps.internal_listener.check(request.scope, principal)
        return principal

    def _by_token(self, exchange: Exchange) -> bool:
        """Tell whether a token came where an API key is expected, and may."""
        headers = exchange.headers
        return self._route.holder_permission is not None and "x-api-key" not in headers and "authorization" in headers

    def _service(self, exchange: Exchange, ids: dict[str, str]) -> Principal:
        """Return whose API key the request carries."""
        headers = exchange.headers
        if self._route.access is Access.INTERNAL:
            return self._deps.authenticator.service(headers, Scope.INTERNAL)
        if self._route.access is Access.OPERATOR:
            scope = Scope.INTERNAL if self._route.for_services else Scope.ADMIN
            principal = self._deps.authenticator.service(headers, scope)
            # A service sees there as much as an operator.
            return principal if principal.sees_whole_tenant else evolve(principal, role=Role.OPERATOR)
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
        if not issubclass(self._route.query or Nothing, StreamQuery) or "authorization" in exchange.headers:
            return None
        ticket: str | None = self._query.read(request.query_string).ticket
        return ticket

    async def _serve(self, request: Request, exchange: Exchange, principal: Principal, ids: dict[str, str]) -> Response:
        route, services = self._route, self._deps.services
        marks = read_marks(exchange.headers)
        exchange.trace = marks.trace
        path_id = self._id(ids)
        query = self._query.read(request.query_string)
        # A body costs more than a look at the limits: who may not pass is told so before it is read.
        await self._limit(exchange, principal)
        hear = partial(self._frontends.hear, exchange)
        body = await self._body.read(request, exchange.headers, principal.tenant_id, path_id, hear)
        if exchange.ticket_of is not None:
            check_subject(exchange.ticket_of, path_id, body.model)
        exchange.session_id = path_id if route.id_name == "session_id" else getattr(body.model, "session_id", None)
        ctx = self._context(request, exchange, principal, marks, body.envelope)
        by_token = self._by_token(exchange)
        call = RouteCall(ctx, services, exchange, self._deps.streams, body.model, query, path_id, by_token)
        try:
            given = await route.handler(call)
        except ClientFault as refused:
            self._body.retell(refused, body.sent)
            raise
        if isinstance(given, Response):
            return given
        by_offset = getattr(query, "offset", None) is not None
        frontend = exchange.tell_failure is not None or follows_the_guide(exchange.headers)
        return self._answer(exchange, ctx, given, Answered(path_id, by_offset=by_offset, frontend=frontend))

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
            elif route.access is Access.BEARER and is_large(exchange.headers):
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

    def _context(
        self,
        request: Request,
        exchange: Exchange,
        principal: Principal,
        marks: Marks,
        envelope: RequestEnvelope | None,
    ) -> RequestContext:
        return make_context(
            principal,
            marks,
            envelope,
            request_id=exchange.request_id,
            correlation_id=exchange.correlation_id,
            remote_address=exchange.address,
        )

    def _answer(self, exchange: Exchange, ctx: RequestContext, given: RouteAnswer, asked: Answered) -> Response:
        route, dialect, data = self._route, self._dialect, unstructure(given.data)
        if given.rate is not None:
            exchange.rate = nearer(given.rate, exchange.rate)
        pagination = None
        if given.limit is not None:
            pagination = _pagination(given)
        if dialect is not None:
            add_names(dialect, data, pagination, asked)
        return answer(
            exchange,
            given.kind or route.answers,
            data,
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
            user_id=principal.name if principal else "",
            remote_address=exchange.address,
            correlation_id=exchange.correlation_id,
        )


def _pagination(given: RouteAnswer) -> dict[str, Any]:
    """Say where a list goes on; and of one that is counted, where its page stands."""
    counts = {} if given.offset is None else {"offset": given.offset, "total": given.total}
    cursor = given.next_cursor
    return {"limit": given.limit, "has_more": cursor is not None, "next_cursor": cursor, **counts}


async def _tenant_in(request: Request) -> str:
    """Return the tenant that a message names; empty where it is none, or names none."""
    with suppress(InvalidBody):
        content = parse_request(await request.get_data(as_text=False))
        if isinstance(content, dict) and isinstance(content.get("tenant_id"), str):
            return str(content["tenant_id"])
    return ""
