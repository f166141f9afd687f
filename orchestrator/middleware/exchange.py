"""A request and its answer: what is known on the way, and the one envelope that every answer goes out in."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from math import ceil
from time import perf_counter
from typing import Any, Final

from attrs import define, field
from quart import Response
from quart_trio.wrappers import TrioResponse
from werkzeug.datastructures import Headers

from orchestrator.codec import encode
from orchestrator.config.constants import BODY_EXTENSION
from orchestrator.errors import OrchestratorError
from orchestrator.middleware.context import header_map
from orchestrator.models.common.envelope import SCHEMA_VERSION, SOURCE_SERVICE
from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.principal import TraceContext
from orchestrator.models.common.timestamps import now_ms, to_timestamp

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
_BEGUN: Final = "orchestrator.exchange"
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}


def _refuse(_: bytes) -> bool:
    """Say that nothing can be sent without waiting."""
    return False


@define
class Exchange:
    """What is known of a request while it is answered."""

    headers: dict[str, str]
    """Names in lower case."""
    correlation_id: str
    scheme: str = "http"
    request_id: str = field(factory=new_id)
    started: float = field(factory=perf_counter)
    tenant_id: str | None = None
    session_id: str | None = None
    """The session that it names, as far as it has been read."""
    trace: TraceContext | None = None
    error_code: str | None = None
    """Of the error that it is answered with."""
    method: str = ""
    path: str = ""
    """Without the query, which may carry a credential."""
    rate: RateState | None = None
    address: str = ""
    """Where it comes from."""
    ticket_of: str | None = None
    """What the ticket is of by which the request came; None: it came by another credential."""
    tell_failure: Callable[["Exchange", OrchestratorError], Mapping[str, Any]] | None = None
    """Makes the `data` of a failure, for who asks for more than its `error`; None: it has none."""
    send_body_now: Callable[[bytes], bool] = _refuse
    """Sends a piece of the answer's body without waiting; returns false, and sends nothing, where that can't be."""
    known_host: Callable[[], str] = str
    """Returns the host that was asked for, if it is known to be the service's, else the address of the listener."""

    @classmethod
    def begin(cls, scope: Any) -> "Exchange":
        """Begin with what every request has; a correlation id that is missing or malformed is made.

        A second call for the same ASGI scope returns the same.
        """
        begun: Exchange | None = scope.get(_BEGUN)
        if begun is not None:
            return begun
        headers = header_map(scope)
        named = headers.get("x-correlation-id")
        correlation_id = named if named is not None and is_id(named) else new_id()
        exchange = cls(
            headers, correlation_id, scope["scheme"], method=scope.get("method", "GET"), path=scope.get("path", "")
        )
        exchange.send_body_now = (scope.get("extensions") or {}).get(BODY_EXTENSION, _refuse)
        scope[_BEGUN] = exchange
        return exchange

    def log_fields(self) -> dict[str, Any]:
        """Return what each log line says of the request."""
        return {
            "tenant_id": self.tenant_id,
            "session_id": self.session_id,
            "correlation_id": self.correlation_id,
            "request_id": self.request_id,
            "trace_id": self.trace.trace_id if self.trace else None,
            "span_id": self.trace.span_id if self.trace else None,
        }

    @property
    def wants_problem(self) -> bool:
        """Whether the client asks for errors by RFC 9457."""
        return PROBLEM in self.headers.get("accept", "")


def answer(
    exchange: Exchange,
    kind: Mapping[str, str],
    data: Any,
    *,
    status: int,
    message_id: str | None = None,
    pagination: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Put an answer into its envelope.

    Args:
        exchange: what it answers.
        kind: its type, `domain` and `action`.
        data: plain data.
        status: the HTTP status.
        message_id: the message that is answered; None: one is made.
        pagination: where a list goes on.
        error: the error object; `data` is then None.
        headers: more headers.
    """
    body = envelope(exchange, kind, data, status=status, message_id=message_id, pagination=pagination, error=error)
    return respond(exchange, body, status, JSON, headers)


def envelope(
    exchange: Exchange,
    kind: Mapping[str, str],
    data: Any,
    *,
    status: int,
    message_id: str | None = None,
    pagination: Mapping[str, Any] | None = None,
    error: Mapping[str, Any] | None = None,
) -> bytes:
    """Return an answer's envelope, encoded; the arguments are those of `answer`."""
    meta: dict[str, Any] = {
        "request_id": exchange.request_id,
        "processing_time_ms": round((perf_counter() - exchange.started) * 1000, 3),
        "source_service": SOURCE_SERVICE,
    }
    if pagination is not None:
        meta["pagination"] = pagination
    fields: dict[str, Any] = {
        "message_id": message_id or new_id(),
        "correlation_id": exchange.correlation_id,
        "type": kind,
        "schema_version": SCHEMA_VERSION,
        "created_at": to_timestamp(now_ms()),
        "tenant_id": exchange.tenant_id,
        "source_service": SOURCE_SERVICE,
        "data": data,
        "status": {"code": status, "message": _PHRASES[status]},
        "meta": meta,
    }
    if error is not None:
        fields["error"] = error
    return encode(fields)


def respond(
    exchange: Exchange, body: Any, status: int, content_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Make a response with the headers that every answer of the API carries."""
    fields = Headers()
    fields.add("Content-Type", content_type)
    fields.add("X-Correlation-ID", exchange.correlation_id)
    fields.add("X-Request-ID", exchange.request_id)
    if exchange.rate is not None:
        add_rate(fields, exchange.rate)
    if headers:
        for name, value in headers.items():
            fields.add(name, value)
    return TrioResponse(body, status, fields)


def add_rate(fields: Headers, rate: RateState) -> None:
    """Add `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""
    fields.add("RateLimit-Policy", f'"default";q={rate.limit};w={ceil(rate.window_seconds)}')
    fields.add("RateLimit", f'"default";r={max(rate.remaining, 0)};t={ceil(rate.reset_seconds)}')
