"""The table of routes: one record for each, which drives both its handling and its description."""

from collections.abc import Awaitable, Callable, Iterator
from enum import StrEnum
from typing import Any, Final

from attrs import evolve, field, frozen
from quart import Response

from orchestrator.errors import OrchestratorError
from orchestrator.middleware.exchange import Exchange
from orchestrator.models.common.limits import RateClass, RateState
from orchestrator.models.common.principal import RequestContext
from orchestrator.routes.http.open_streams import OpenStreams
from orchestrator.services.container import Services


class Access(StrEnum):
    """Who may call a route."""

    BEARER = "bearer"
    INTERNAL = "internal"
    ADMIN = "admin"
    OPERATOR = "operator"
    """By an API key of operators what users do by a token, for the tenant in `X-Tenant-ID`."""


PREFIXES: Final = {
    Access.BEARER: "/api/v1/",
    Access.INTERNAL: "/internal/v1/",
    Access.ADMIN: "/internal/v1/",
    Access.OPERATOR: "/internal/v1/",
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

    @property
    def operation(self) -> str:
        """What OpenAPI calls it: its name, unless a public route has that too."""
        if self.access is Access.OPERATOR:
            return f"operator.{self.name}"
        return f"internal.{self.name}" if self.also_public else self.name

    def for_operators(self) -> "Route":
        """Return the same route for operators: under `/internal/v1/`, with an API key, for any tenant."""
        return evolve(self, access=Access.OPERATOR, rate_class=RateClass.ADMIN)

    @property
    def rule(self) -> str:
        """The path as the framework matches it."""
        return PREFIXES[self.access] + self.name + (f"/<{self.id_name}>" if self.id_name else "")

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
    ) -> Callable[[RouteHandler], RouteHandler]:
        """Register the decorated handler; the first line of its docstring is the route's summary.

        Args:
            method: the HTTP method.
            name: `domain.action`.
            answers: the type of the answer, `domain.action`.
            answer: the model of the answer's data; of one item where the answer is a page.
            permission: what a token must grant, `domain:action`.
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
                )
            )
            return handler

        return register
