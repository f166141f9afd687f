"""One HTTP request of the application: how its answer is handed to the server.

Three differences from the framework's own way. An answer that is there as a whole goes out in two messages instead of
three, since each costs a pass through the server. A body that has to be opened is opened before the head of the answer
is sent, so that what fails there is still an error with its own status. And the end of an answer is not cancelled by
the disconnect that it causes itself: otherwise the server never hears that the connection is idle, and so neither
closes it after its time nor lets a stop go on.
"""

from contextlib import AsyncExitStack
from functools import partial
from math import inf
from time import perf_counter
from typing import Any, Final

import trio
from hypercorn.typing import ASGISendCallable
from quart import Request, Response

from orchestrator.errors import OrchestratorError, RateLimited
from orchestrator.frameworks import quart_inside
from orchestrator.middleware.address_limit import AddressLimiter
from orchestrator.middleware.errors import error_answer
from orchestrator.middleware.exchange import Exchange
from orchestrator.middleware.guards.forwarded import RemoteAddress
from orchestrator.telemetry.metrics import UNMATCHED, Metrics

PROBES: Final = frozenset({"/health", "/health/live", "/health/ready"})
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
        try:
            response: Any = self._flood_refusal(exchange) or await self.app.handle_request(request)
            seconds = getattr(response, "timeout", ...)
            if seconds is ...:
                seconds = self.app.config["RESPONSE_TIMEOUT"]
            with trio.move_on_after(inf if seconds is None else seconds):
                await self._send(send, response)
        finally:
            metrics: Metrics = self.app.extensions["metrics"]
            route = request.url_rule.rule if request.url_rule is not None else UNMATCHED
            metrics.request(request.method, route, self._status, perf_counter() - began)

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

    async def _send_head(self, send: ASGISendCallable, response: Response) -> None:
        self._status = response.status_code
        head = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
        await send({"type": "http.response.start", "status": response.status_code, "headers": head})

    async def _send_stream(self, send: ASGISendCallable, response: Response) -> None:
        content: Any = response.response
        async with AsyncExitStack() as opened:
            try:
                body = await opened.enter_async_context(content)
            except OrchestratorError as error:
                exchange = getattr(content, "exchange", None) or Exchange.begin(self.scope)
                refusal = error_answer(exchange, error)
                await self._send(send, self.app.extensions["answer_headers"].add(self.scope, refusal))
                return
            await self._send_head(send, response)
            async for piece in body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._send_end(send, b"")

    async def _send_end(self, send: ASGISendCallable, data: bytes) -> None:
        self._ending = True
        await send({"type": "http.response.body", "body": data, "more_body": False})
