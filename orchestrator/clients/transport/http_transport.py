"""HTTP transport: connections, deadlines, the common headers, and httpcore's errors translated.

It uses httpcore, the engine of httpx: on trio a call costs half of what it costs in `httpx.AsyncClient`, whose other
half goes into URLs, headers, cookies and redirects that these calls do not have.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Self
from urllib.parse import quote, urlencode, urlsplit

import httpcore
import orjson
import trio

from orchestrator.clients.transport.addresses import PORTS
from orchestrator.clients.transport.answers import ServiceAnswer, read_answer, title
from orchestrator.clients.transport.connections import Connections, HTTPExchange
from orchestrator.clients.transport.http_errors import begins_stream, check_status, no_stream
from orchestrator.clients.transport.http_pieces import HttpPieces, read_whole
from orchestrator.clients.transport.messages import message
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

_HEALTH: Final = "/health"


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
        self._scheme = parts.scheme.encode()
        self._host = (parts.hostname or "").encode("idna")
        self._port = parts.port or PORTS.get(parts.scheme, 80)
        self._base = parts.path.rstrip("/")
        self._headers: list[tuple[bytes, bytes]] = [
            (b"Host", parts.netloc.rpartition("@")[2].encode("idna")),
            (b"Accept", b"application/json, application/x-ndjson"),
            (b"Content-Type", b"application/json"),
            (b"X-Schema-Version", b"1.1"),
            (b"X-Source-Service", b"agent_orchestrator"),
        ]
        if settings.token:
            self._headers.append((b"Authorization", b"Bearer " + _plain(settings.token)))
        self._connections = Connections(httpcore.Origin(self._scheme, self._host, self._port))

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._connections.aclose()

    async def call(
        self, call: CallContext, operation: Operation, parameters: dict[str, Any], **metadata: Any
    ) -> ServiceAnswer:
        """Call an operation; see `Transport.call`."""
        call = call.until(trio.current_time() + self.timeout)
        status, raw = await self._exchange(call, operation, _rendered(call, operation, parameters, metadata))
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
        with self._within(min(call.deadline, trio.current_time() + self.timeout)):
            exchange = await self._send(call, operation.method, *rendered)
        response = exchange.response
        async with HttpPieces(self.service, exchange, deadline=call.deadline, idle=self.timeout) as pieces:
            if not begins_stream(operation, response.status):
                with self._within(min(call.deadline, trio.current_time() + self.timeout)):
                    raw = await read_whole(pieces)
                check_status(call, operation, response.status, response.headers, raw)
                raise no_stream(operation, response.status)
            call.heard()
            yield pieces

    async def _exchange(
        self, call: CallContext, operation: Operation, rendered: tuple[str, bytes]
    ) -> tuple[int, bytes]:
        with self._within(min(call.deadline, trio.current_time() + self.timeout)):
            exchange = await self._send(call, operation.method, *rendered)
            async with HttpPieces(self.service, exchange) as pieces:
                raw = await read_whole(pieces)
        check_status(call, operation, exchange.response.status, exchange.response.headers, raw)
        return exchange.response.status, raw

    async def _send(self, call: CallContext, method: str, path: str, content: bytes) -> HTTPExchange:
        if not self.configured:
            setting = variable(f"services.{self.service}.url")
            raise ServiceNotSetUp(f"{title(self.service)} is not set up: {setting} is empty.", service=self.service)
        url = httpcore.URL(scheme=self._scheme, host=self._host, port=self._port, target=(self._base + path).encode())
        request = httpcore.Request(
            method, url, headers=self._headers_of(call, len(content)), content=RequestBody(content)
        )
        try:
            return await self._connections.send(request)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise ServiceUnreachable(
                f"There is no connection to {title(self.service)}: {_cause(error)}.", service=self.service
            ) from error
        except (httpcore.NetworkError, httpcore.TimeoutException) as error:
            raise ConnectionBroken(
                f"The connection to {title(self.service)} broke before it answered: {_cause(error)}.",
                service=self.service,
            ) from error
        except httpcore.RemoteProtocolError as error:
            raise BadGateway(
                f"{title(self.service)} broke off, or does not speak HTTP: {_cause(error)}.", service=self.service
            ) from error

    def _headers_of(self, call: CallContext, length: int) -> list[tuple[bytes, bytes]]:
        left_ms = max(1, round((call.deadline - trio.current_time()) * 1000))
        headers = [
            *self._headers,
            (b"Content-Length", b"%d" % length),
            (b"X-Correlation-ID", _plain(call.correlation_id)),
            (b"X-Request-ID", _plain(call.request_id)),
            (b"X-Deadline-Ms", b"%d" % left_ms),
            (b"traceparent", str(call.trace).encode()),
        ]
        if call.tenant_id:
            headers.append((b"X-Tenant-ID", _plain(call.tenant_id)))
        if call.idempotency_key is not None:
            headers.append((b"Idempotency-Key", _plain(call.idempotency_key)))
        return headers

    @contextmanager
    def _within(self, deadline: float) -> Iterator[None]:
        with trio.CancelScope(deadline=deadline) as scope:
            yield
        if scope.cancelled_caught:
            raise CallTimeout(f"{title(self.service)} did not answer in time.", service=self.service)


class RequestBody:
    """Body of a request. httpcore and httpx would use an async generator; trio warns of one that is not finished."""

    def __init__(self, content: bytes) -> None:
        self._rest = [content] if content else []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        return self._rest.pop()


def _rendered(
    call: CallContext, operation: Operation, parameters: dict[str, Any], metadata: dict[str, Any]
) -> tuple[str, bytes]:
    """Return the path of a request, with its query, and the body."""
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
    return quote(text, safe="")


def _plain(text: str) -> bytes:
    """Encode a header's value; anything but printable ASCII is replaced, so that no value can begin another header."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return bytes(code if 32 <= code < 127 else 63 for code in text.encode("utf-8"))


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
