"""Internal routes to Query and Embedding: the only way of services and agents to language models."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final

import orjson
from quart import Response

from orchestrator.codec import encode
from orchestrator.errors import (
    BadGateway,
    BudgetExhausted,
    CallTimeout,
    CircuitOpen,
    NotFound,
    OrchestratorError,
    ServiceRefused,
    ServiceUnreachable,
)
from orchestrator.middleware.exchange import Exchange, respond
from orchestrator.middleware.streamed_body import StreamedBody
from orchestrator.models.common.limits import RateClass
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes
from orchestrator.services.gateway.gateway_stream import GatewayStream

gateway_routes = Routes()

NDJSON: Final = "application/x-ndjson"
_FAULTS: Final = (BadGateway, BudgetExhausted, CallTimeout, CircuitOpen, NotFound, ServiceRefused, ServiceUnreachable)


@gateway_routes.add(
    "POST",
    "query.generate",
    access=Access.INTERNAL,
    body=dict,
    answers="query.generated",
    answer=dict,
    errors=_FAULTS,
    also={200: ("The answer; with `stream: true` its pieces, one a line.", dict, (NDJSON,))},
    rate_class=RateClass.WRITE,
)
async def generate(call: RouteCall) -> RouteAnswer | Response:
    """Ask the Query service for an answer; what it costs is counted."""
    if call.body.get("stream") is True:
        response = respond(call.exchange, PassedStream(call), 200, NDJSON, {"X-Accel-Buffering": "no"})
        response.timeout = None
        return response
    return _plain(await call.services.gateway.generate(call.ctx, call.body))


@gateway_routes.add(
    "POST",
    "query.search",
    access=Access.INTERNAL,
    body=dict,
    answers="query.results",
    answer=dict,
    errors=_FAULTS,
    rate_class=RateClass.WRITE,
)
async def search(call: RouteCall) -> RouteAnswer:
    """Search a collection through the Query service."""
    return _plain(await call.services.gateway.search(call.ctx, call.body))


@gateway_routes.add(
    "POST",
    "embedding.create",
    access=Access.INTERNAL,
    body=dict,
    answers="embedding.created",
    answer=dict,
    errors=_FAULTS,
    rate_class=RateClass.WRITE,
)
async def embed(call: RouteCall) -> RouteAnswer:
    """Embed texts through the Embedding service; what it costs is counted."""
    return _plain(await call.services.gateway.embed(call.ctx, call.body))


def _plain(data: dict[str, Any]) -> RouteAnswer:
    """Answer with what is JSON already: the numbers of an embedding need not be looked at."""
    return RouteAnswer(orjson.Fragment(encode(data)))


class PassedStream(StreamedBody):
    """A response body that passes on what Query streams; what breaks on the way becomes a last line with `error`."""

    def __init__(self, call: RouteCall) -> None:
        self.exchange: Exchange = call.exchange
        self._opening: AbstractAsyncContextManager[GatewayStream] = call.services.gateway.stream(call.ctx, call.body)

    async def __aenter__(self) -> AsyncIterator[bytes]:
        self._passing = await self._opening.__aenter__()
        self._broken = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opening.__aexit__(kind, error, trace)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = None if self._broken else await self._passing.receive()
        except OrchestratorError as error:
            self._broken = True
            told: dict[str, Any] = {"error": error.body(self.exchange.correlation_id)}
            return encode(told) + b"\n"
        if piece is None:
            raise StopAsyncIteration
        return piece
