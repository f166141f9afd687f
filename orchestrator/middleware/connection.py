"""One HTTP request of the application: how its answer is handed to the server.

Three differences from the framework's own way. An answer that is there as a whole goes out in two messages instead of
three, since each costs a pass through the server; of a stream the head goes out with the pieces that are at hand, and
its end with the last one. A body that has to be opened is opened before the head of the answer is sent, so that what
fails there is still an error with its own status. And the end of an answer is not cancelled by the disconnect that it
causes itself: otherwise the server never hears that the connection is idle, and so neither closes it after its time nor
lets a stop go on.
"""

from contextlib import AsyncExitStack
from functools import partial
from time import perf_counter
from typing import Any, Final

import trio
from hypercorn.typing import ASGISendCallable
from quart import Request, Response

from orchestrator.config.constants import ARRIVED_EXTENSION, BODY_FOLLOWS
from orchestrator.errors import RateLimited
from orchestrator.frameworks import quart_inside
from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.middleware.context import read_trace
from orchestrator.middleware.errors import error_answer
from orchestrator.middleware.exchange import Exchange
from orchestrator.middleware.guards.forwarded import RemoteAddress
from orchestrator.middleware.streamed_body import StreamedBody
from orchestrator.services.shared.traces import current_trace
from orchestrator.telemetry.metrics import UNMATCHED, Metrics
from orchestrator.telemetry.tracing.doors import begin_request, end_request
from orchestrator.telemetry.tracing.spans import NO_SPAN, OpenSpan, is_recording

PROBES: Final = frozenset({"/health", "/health/live", "/health/ready", "/health/liveness", "/health/readiness"})
_UNTRACED: Final = PROBES | {"/metrics"}
"""What machines ask for again and again: traces of it tell nothing, and would be most of all."""
CLIENT_GONE: Final = 499
"""The status, in the figures, of a request whose client left before its answer."""


class HTTPConnection(quart_inside.HTTPConnection):
    """Sends answers, and counts them."""

    _status = CLIENT_GONE

    async def _serve(self, request: Request, send: ASGISendCallable) -> None:
        """Answer the request, within the time that the answer may take."""
        began = perf_counter()
        scope: Any = self.scope
        addresses: RemoteAddress = self.app.extensions["remote_address"]
        exchange = Exchange.begin(scope)
        told = addresses.complete(scope, exchange.headers)
        exchange.known_host = partial(self.app.extensions["known_hosts"].of, scope, exchange.headers, told=told)
        exchange.scheme, exchange.address = scope["scheme"], addresses.of(scope, exchange.headers)
        span = NO_SPAN if scope["path"] in _UNTRACED else _begin_span(exchange)
        try:
            response: Any = self._flood_refusal(exchange) or await self.app.handle_request(request)
            seconds = getattr(response, "timeout", ...)
            if seconds is ...:
                seconds = self.app.config["RESPONSE_TIMEOUT"]
            if seconds is None:
                await self._send(send, response)
            else:
                with trio.move_on_after(seconds):
                    await self._send(send, response)
        finally:
            metrics: Metrics = self.app.extensions["metrics"]
            route = request.url_rule.rule if request.url_rule is not None else UNMATCHED
            metrics.request(request.method, route, self._status, perf_counter() - began)
            if span is not NO_SPAN:
                self._end_span(span, exchange, None if route is UNMATCHED else route)

    def _end_span(self, span: OpenSpan, exchange: Exchange, route: str | None) -> None:
        end_request(
            span,
            method=exchange.method,
            route=route,
            status=self._status,
            error_code=exchange.error_code,
            tenant_id=exchange.tenant_id,
            session_id=exchange.session_id,
            correlation_id=exchange.correlation_id,
            request_id=exchange.request_id,
        )

    def _arrived(self) -> Any:
        extensions: Any = self.scope.get("extensions") or {}
        take_now = extensions.get(ARRIVED_EXTENSION)
        return None if take_now is None else take_now()

    def _flood_refusal(self, exchange: Exchange) -> Response | None:
        """Count the request against the limit of its address, before it is routed and its body is read.

        Probes are neither counted nor refused: what they are told is remembered for a second, so they cost nothing, and
        a flood of an address that they share must not make the process look dead.
        """
        if self.scope["path"] in PROBES:
            return None
        limiter: AddressLimiter = self.app.extensions["address_limiter"]
        try:
            limiter.check(exchange.address)
        except RateLimited as error:
            self.app.extensions["metrics"].rate_limited("http", error.code)
            return self.app.extensions["answer_headers"].add(self.scope, error_answer(exchange, error))  # type: ignore[no-any-return] # extensions are untyped
        return None

    async def _send(self, send: ASGISendCallable, response: Response) -> None:
        body = quart_inside.whole_body(response)
        if body is None:
            await self._send_stream(send, response)
        else:
            await self._send_head(send, response)
            await self._send_end(send, body)

    async def _send_head(self, send: ASGISendCallable, response: Response, *, followed: bool = False) -> None:
        """Send the head; where `followed`, a piece of the body comes at once, and both can go out together."""
        self._status = response.status_code
        head = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
        start: Any = {"type": "http.response.start", "status": response.status_code, "headers": head}
        if followed:
            start[BODY_FOLLOWS] = True
        await send(start)

    async def _send_stream(self, send: ASGISendCallable, response: Response) -> None:
        content: Any = response.response
        last = b""
        async with AsyncExitStack() as opened:
            try:
                body = await opened.enter_async_context(content)
            except Exception as error:  # noqa: BLE001 - the boundary of a request: logged, and told as the fault it is
                exchange = getattr(content, "exchange", None) or Exchange.begin(self.scope)
                refusal = error_answer(exchange, error)
                await self._send(send, self.app.extensions["answer_headers"].add(self.scope, refusal))
                return
            streamed = content if isinstance(content, StreamedBody) else None
            piece = b"" if streamed is None else streamed.at_hand()
            await self._send_head(send, response, followed=bool(piece))
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            async for piece in body:
                if streamed is not None and streamed.ended:
                    last = piece
                    break
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send_end(send, last)

    async def _send_end(self, send: ASGISendCallable, data: bytes) -> None:
        self._ending = True
        await send({"type": "http.response.body", "body": data, "more_body": False})


def _begin_span(exchange: Exchange) -> OpenSpan:
    """Begin the span of a request, in the trace that it came with."""
    if not is_recording():
        return NO_SPAN
    span = begin_request(
        exchange.method, exchange.scheme, exchange.path, exchange.headers.get("host", ""), read_trace(exchange.headers)
    )
    exchange.trace = current_trace()
    return span
