"""HTTP transport: connections, deadlines, the common headers, and the connections' errors translated."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson
import trio

from orchestrator.clients.dialects.requests import documented, domain_action
from orchestrator.clients.transport.addresses import PORTS
from orchestrator.clients.transport.answers import ServiceAnswer, read_answer, title
from orchestrator.clients.transport.connections import Connections, HttpExchange
from orchestrator.clients.transport.http_connection import ConnectionLost, NoConnection, Origin
from orchestrator.clients.transport.http_errors import begins_stream, check_status, no_stream
from orchestrator.clients.transport.http_head import NotHttp, plain
from orchestrator.clients.transport.http_pieces import HttpPieces, read_whole
from orchestrator.clients.transport.messages import left_ms_of, message
from orchestrator.clients.transport.responses import Pieces
from orchestrator.config.loading import variable
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    ConnectionBroken,
    InvalidParameter,
    ServiceNotSetUp,
    ServiceUnreachable,
)
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.downstream.operation import Operation
from orchestrator.telemetry.tracing.calls import answered, begin_http_call
from orchestrator.telemetry.tracing.spans import NO_SPAN, OpenSpan

_HEALTH: Final = "/health"
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9_~-]+")
"""Identifiers that stand in a path as they are; nearly all do."""


class HttpTransport:
    """Calls one service over HTTP.

    Args:
        service: name of the service in the settings, such as `agent_execution`.
        settings: URL, token, and timeout in seconds.
    """

    def __init__(self, service: str, settings: ServiceSettings) -> None:
        parts = urlsplit(settings.url)
        self.service = service
        self.timeout = settings.timeout
        self.configured = bool(settings.url)
        self._base = parts.path.rstrip("/").encode()
        host = parts.netloc.rpartition("@")[2].encode("idna")
        # The head of a request differs from another's in a few lines only.
        self._head = (
            b" HTTP/1.1\r\nHost: %b\r\nAccept: application/json, application/x-ndjson\r\n"
            b"Content-Type: application/json\r\nX-Schema-Version: 1.1\r\nX-Source-Service: agent_orchestrator\r\n"
            % host
        )
        if settings.token:
            self._head += b"Authorization: Bearer %b\r\n" % plain(settings.token)
        name = (parts.hostname or "").encode("idna").decode()
        self._place = parts.scheme, name, parts.port or PORTS.get(parts.scheme, 80)
        self._connections = Connections(Origin(*self._place))

    async def aclose(self) -> None:
        """Close the idle connections."""
        self._connections.close()
        await trio.lowlevel.checkpoint()

    async def call(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> ServiceAnswer:
        """Call an operation; see `Transport.call`."""
        call = call.until(trio.current_time() + self.timeout)
        rendered = _rendered(call, operation, parameters, metadata)
        with self._span(call, operation, rendered[0]) as span:
            status, raw = await self._exchange(call.under(span.ids), operation, rendered, span)
        return read_answer(self.service, status, raw)

    async def probe(self, call: CallContext) -> None:
        """Check the health of the service; see `Transport.probe`."""
        await self._exchange(call, Operation(self.service, "health", "GET", _HEALTH, plan=None), (_HEALTH, b""))

    @asynccontextmanager
    async def stream(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> AsyncIterator[Pieces]:
        """Call an operation, and stream its answer; see `Transport.stream`.

        The connection is reused where the answer was read to its end, else closed.
        """
        rendered = _rendered(call, operation, parameters, metadata)
        with self._span(call, operation, rendered[0]) as span:
            with trio.CancelScope(deadline=min(call.deadline, trio.current_time() + self.timeout)) as scope:
                exchange = await self._send(call.under(span.ids), operation, *rendered)
            if scope.cancelled_caught:
                raise self._late()
            head = exchange.head
            answered(span, head.status)
            with HttpPieces(self.service, exchange, deadline=call.deadline, idle=self.timeout) as pieces:
                if not begins_stream(operation, head.status):
                    with trio.CancelScope(deadline=min(call.deadline, trio.current_time() + self.timeout)) as scope:
                        raw = await read_whole(pieces)
                    if scope.cancelled_caught:
                        raise self._late()
                    check_status(call, operation, head.status, head.headers, raw)
                    raise no_stream(operation, head.status)
                call.heard()
                yield pieces

    async def _exchange(
        self, call: CallContext, operation: Operation, rendered: tuple[str, bytes], span: OpenSpan = NO_SPAN
    ) -> tuple[int, bytes]:
        with trio.CancelScope(deadline=min(call.deadline, trio.current_time() + self.timeout)) as scope:
            exchange = await self._send(call, operation, *rendered)
            answered(span, exchange.head.status)
            with HttpPieces(self.service, exchange) as pieces:
                raw = await read_whole(pieces)
        if scope.cancelled_caught:
            raise self._late()
        check_status(call, operation, exchange.head.status, exchange.head.headers, raw)
        return exchange.head.status, raw

    async def _send(self, call: CallContext, operation: Operation, path: str, content: bytes) -> HttpExchange:
        if not self.configured:
            setting = variable(f"services.{self.service}.url")
            raise ServiceNotSetUp(f"{title(self.service)} is not set up: {setting} is empty.", service=self.service)
        try:
            return await self._connections.send(self._request(call, operation, path, content))
        except NoConnection as error:
            raise ServiceUnreachable(
                f"There is no connection to {title(self.service)}: {error}.", service=self.service
            ) from error
        except ConnectionLost as error:
            raise ConnectionBroken(
                f"The connection to {title(self.service)} broke before it answered: {error}.", service=self.service
            ) from error
        except NotHttp as error:
            raise BadGateway(
                f"{title(self.service)} broke off, or does not speak HTTP: {error}.", service=self.service
            ) from error

    def _request(self, call: CallContext, operation: Operation, path: str, content: bytes) -> bytes:
        lines = [
            b"%b %b%b%b" % (operation.method.encode(), self._base, path.encode(), self._head),
            b"Content-Length: %d\r\nX-Correlation-ID: %b\r\nX-Request-ID: %b\r\n"
            b"X-Deadline-Ms: %d\r\ntraceparent: %b\r\nX-Trace-ID: %b\r\nX-Domain-Action: %b\r\n"
            % (
                len(content),
                plain(call.correlation_id),
                plain(call.request_id),
                left_ms_of(call),
                str(call.trace).encode(),
                plain(call.trace.trace_id),
                domain_action(operation).encode(),
            ),
        ]
        if call.tenant_id:
            lines.append(b"X-Tenant-ID: %b\r\n" % plain(call.tenant_id))
        if call.origin.user_id:
            lines.append(b"X-User-ID: %b\r\n" % plain(call.origin.user_id))
        if call.origin.session_id:
            lines.append(b"X-Session-ID: %b\r\n" % plain(call.origin.session_id))
        if call.idempotency_key is not None:
            lines.append(b"Idempotency-Key: %b\r\n" % plain(call.idempotency_key))
        if call.trace.state:
            lines.append(b"tracestate: %b\r\n" % plain(call.trace.state))
        return b"".join((*lines, b"\r\n", content))

    def _span(self, call: CallContext, operation: Operation, path: str) -> OpenSpan:
        """Begin the span of a try of a call."""
        return begin_http_call(
            call,
            self.service,
            operation.name,
            method=operation.method,
            template=operation.path,
            path=path,
            place=self._place,
        )

    def _late(self) -> CallTimeout:
        return CallTimeout(f"{title(self.service)} did not answer in time.", service=self.service)


def _rendered(
    call: CallContext, operation: Operation, parameters: dict[str, Any], metadata: dict[str, Any]
) -> tuple[str, bytes]:
    """Return the path of a request, with its query, and the body."""
    parameters = documented(operation).parameters(parameters)
    of_path = {"tenant_id": call.tenant_id, **{name: parameters[name] for name in operation.path_parameters}}
    path = operation.path.format_map({name: _path_part(name, value) for name, value in of_path.items()})
    rest = {name: value for name, value in parameters.items() if name not in operation.path_parameters}
    if operation.reads:
        query = {name: value for name, value in rest.items() if value is not None}
        return f"{path}?{urlencode(query)}" if query else path, b""
    return path, orjson.dumps(message(call, operation, rest, **metadata) if operation.domain else rest)


def _path_part(name: str, value: object) -> str:
    """Quote an identifier for a path; InvalidParameter where it would change the path (`.`, `..`)."""
    if (text := str(value)) in {"", ".", ".."}:
        fault = FieldFault(f"$.{name}", f"can't be {text!r}")
        raise InvalidParameter(f"{name} {fault.message}.", details=[fault])
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")
