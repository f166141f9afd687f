"""The table of routes: one record for each, which drives both its handling and its description."""

from collections.abc import Awaitable, Callable, Iterator
from enum import StrEnum
from typing import Any, Final

from attrs import evolve, field, frozen
from quart import Response

from orchestrator.errors import OrchestratorError
from orchestrator.middleware.exchange import Exchange
from orchestrator.models.common.limits import RateClass, RateState
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.routes.http.open_streams import OpenStreams
from orchestrator.services.container import Services


class Access(StrEnum):
    """Who may call a route."""

    BEARER = "bearer"
    INTERNAL = "internal"
    ADMIN = "admin"
    OPERATOR = "operator"
    """By an API key of operators what users do by a token, for the tenant in `X-Tenant-ID`."""
    SERVICE = "service"
    """By the token of a service: one of the platform's with that role, the one that the service is called with, or an
    internal API key."""


PREFIXES: Final = {
    Access.BEARER: "/api/v1/",
    Access.INTERNAL: "/internal/v1/",
    Access.ADMIN: "/internal/v1/",
    Access.OPERATOR: "/internal/v1/",
    Access.SERVICE: "/api/v1/orchestrator/",
}


@frozen
class RouteCall:
    """What a handler gets: who asks, and what was sent, all of it checked."""

    ctx: RequestContext
    services: Services
    exchange: Exchange
    streams: OpenStreams
    """Those that this process is sending."""
    body: Any = None
    """The route's `body` model."""
    query: Any = None
    """The route's `query` model."""
    id: str = ""
    """The id in the path."""
    by_token: bool = False
    """Whether a token came in the place of an API key: its holder sees nothing of other tenants."""


@frozen
class RouteAnswer:
    """What a handler gives back."""

    data: Any
    status: int | None = None
    """None: the route's own."""
    kind: dict[str, str] | None = None
    """Its type, `domain` and `action`; None: the route's own."""
    replayed: bool = False
    rate: RateState | None = None
    limit: int | None = None
    """Of a page: how many items were asked for."""
    next_cursor: str | None = None
    offset: int | None = None
    """Of a page whose items are counted: how many come before."""
    total: int | None = None
    """How many there are in all; None: too many to count."""
    message_id: str | None = None


RouteHandler = Callable[[RouteCall], Awaitable[RouteAnswer | Response]]


@frozen
class Route:
    """One route."""

    method: str
    name: str
    """`domain.action`; the type that an envelope sent here may name."""
    handler: RouteHandler
    access: Access
    permission: str | None
    or_permissions: tuple[str, ...]
    """Each of them does as well as `permission`."""
    holder_permission: str | None
    """What a token must grant that comes in the place of an API key; None: none may."""
    summary: str
    answers: dict[str, str]
    """The type of the answer: `domain` and `action`."""
    answer: Any
    """The model of the answer's data."""
    status: int
    body: type | None
    query: type | None
    id_name: str | None
    """What the id in the path is, such as `session_id`."""
    paged: bool
    idempotent: bool
    own_rate: bool
    """Whether the handler's service limits the rate itself, in the same round trip as its work."""
    errors: tuple[type[OrchestratorError], ...]
    also: dict[int, tuple[str, Any, tuple[str, ...]]]
    """Other successful answers, by status: a description, the model of the data, media types beside JSON."""
    also_public: bool
    """Whether a public route has the same name."""
    rate_class: RateClass | None
    """Which limit counts it, beside those of tenant and user; no route is without."""
    cached: bool
    """Whether its answer is at hand without Redis: then it goes on while that is away."""
    media_type: str | None
    """Of an answer without envelope; None: it has one."""
    place: str | None
    """The path behind the prefix, with the id in it; None: it is made of the name."""
    whole_message: bool
    """Whether the body is a message of another service, which the handler reads as a whole."""
    for_services: bool = False
    """Of a route of operators: whether an internal API key does as well."""

    @property
    def operation(self) -> str:
        """What OpenAPI calls it: its name, unless a public route has that too."""
        if self.access is Access.OPERATOR:
            return f"operator.{self.name}"
        return f"internal.{self.name}" if self.also_public else self.name

    def for_operators(self, *, for_services: bool = False) -> "Route":
        """Return the same route for operators: under `/internal/v1/`, with an API key, for any tenant.

        Args:
            for_services: whether an internal API key does as well, and sees as much.
        """
        return evolve(self, access=Access.OPERATOR, rate_class=RateClass.ADMIN, for_services=for_services)

    def admits(self, principal: Principal) -> bool:
        """Tell whether the holder of a token may call it."""
        permission = self.permission or self.holder_permission
        if permission is None or principal.may(permission):
            return True
        if self.method != "GET" and principal.reads_only:
            return False
        return any(map(principal.may, self.or_permissions))

    @property
    def rule(self) -> str:
        """The path as the framework matches it."""
        return PREFIXES[self.access] + (self.place or self.name + (f"/<{self.id_name}>" if self.id_name else ""))

    @property
    def path(self) -> str:
        """The path as OpenAPI writes it."""
        return self.rule.replace("<", "{").replace(">", "}")


@frozen
class Routes:
    """The routes of one module, in the order they were written."""

    records: list[Route] = field(factory=list)

    def __iter__(self) -> Iterator[Route]:
        return iter(self.records)

    def add(
        self,
        method: str,
        name: str,
        *,
        answers: str,
        answer: Any,
        permission: str | None = None,
        or_permissions: tuple[str, ...] = (),
        holder_permission: str | None = None,
        access: Access = Access.BEARER,
        status: int = 200,
        body: type | None = None,
        query: type | None = None,
        id_name: str | None = None,
        paged: bool = False,
        idempotent: bool = False,
        own_rate: bool = False,
        errors: tuple[type[OrchestratorError], ...] = (),
        also: dict[int, tuple[str, Any, tuple[str, ...]]] | None = None,
        also_public: bool = False,
        rate_class: RateClass | None = None,
        cached: bool = False,
        media_type: str | None = None,
        place: str | None = None,
        whole_message: bool = False,
    ) -> Callable[[RouteHandler], RouteHandler]:
        """Register the decorated handler; the first line of its docstring is the route's summary.

        Args:
            method: the HTTP method.
            name: `domain.action`.
            answers: the type of the answer, `domain.action`.
            answer: the model of the answer's data; of one item where the answer is a page.
            permission: what a token must grant, `domain:action`.
            or_permissions: each of them does as well.
            holder_permission: what a token must grant that comes in the place of an API key; None: none may.
            access: who may call.
            status: the HTTP status of success.
            body: the model of `data` in the request; None: it has none.
            query: the model of the query parameters.
            id_name: what the id in the path is; None: there is none.
            paged: whether the answer is a page of items.
            idempotent: whether it takes an `Idempotency-Key`.
            own_rate: whether its service limits the rate itself.
            errors: what it raises beyond what every route does.
            also: other successful answers.
            also_public: whether a public route has the same name.
            rate_class: which limit counts it, beside those of tenant and user.
            cached: whether its answer is at hand without Redis.
            media_type: of an answer without envelope; None: it has one.
            place: the path behind the prefix, with `<id_name>` in it; None: it is made of the name.
            whole_message: whether the handler reads the body as a whole: a message of another service.
        """
        domain, _, action = answers.partition(".")

        def register(handler: RouteHandler) -> RouteHandler:
            self.records.append(
                Route(
                    method=method,
                    name=name,
                    handler=handler,
                    access=access,
                    permission=permission,
                    or_permissions=or_permissions,
                    holder_permission=holder_permission,
                    summary=(handler.__doc__ or "").strip().split("\n")[0],
                    answers={"domain": domain, "action": action},
                    answer=answer,
                    status=status,
                    body=body,
                    query=query,
                    id_name=id_name,
                    paged=paged,
                    idempotent=idempotent,
                    own_rate=own_rate,
                    errors=errors,
                    also=also or {},
                    also_public=also_public,
                    rate_class=rate_class,
                    cached=cached,
                    media_type=media_type,
                    place=place,
                    whole_message=whole_message,
                )
            )
            return handler

        return register
