"""The gateway to Query and Embedding: the only way of agents and services to language models, hence the truth of usage.

What an answer of a chat turn says of tokens is for its reader: those tokens were spent through here, were counted here,
and are counted nowhere else.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
import structlog
import trio
from attrs import field, frozen

from orchestrator.clients.answers import Answer
from orchestrator.clients.opening import Clients
from orchestrator.clients.responses import MAX_LINE_BYTES, Pieces, too_large
from orchestrator.errors import BadGateway, ServiceFault, StoreUnavailable, TenantNotGranted
from orchestrator.models.call import CallContext
from orchestrator.models.ids import is_id, new_id
from orchestrator.models.orchestration import MEDIUM, ServiceCall
from orchestrator.models.principal import RequestContext
from orchestrator.models.timestamps import now_ms
from orchestrator.models.usage import Spending, UsageKind
from orchestrator.services.service_coordinator import ServiceCoordinator
from orchestrator.store.usage import UsageLedger
from orchestrator.telemetry.metrics import Metrics

GENERATE: Final = ServiceCall("query", "generate", MEDIUM)
SEARCH: Final = ServiceCall("query", "search", MEDIUM)
EMBED: Final = ServiceCall("embedding", "create", MEDIUM)
CALL_SECONDS: Final = 120.0
"""Deadline of a call with all its tries; of a stream as a whole."""
DRAIN_SECONDS: Final = 10.0
"""How long a stream whose reader has gone is read on, until it says what it has cost."""
SETTLE_SECONDS: Final = 5.0
_log = structlog.get_logger("orchestrator.services.gateway")


class GatewayStream:
    """A streamed answer on its way through: every piece is handed on as it comes, and read along for its usage."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._rest = b""
        self._over = False
        self.failure: str | None = None
        """The code of the error that broke the stream."""
        self.metadata: dict[str, Any] | None = None
        """The last `metadata` with `token_usage`."""

    async def receive(self) -> bytes | None:
        """Return the next piece, as the service sent it; None at the end.

        Raises:
            BadGateway: the stream is malformed, or ends without its usage: it was cut.
            CallTimeout, ServiceUnreachable: it broke.
        """
        # A reader that goes away while a piece is on its way must not break the stream: it is still to be drained.
        with trio.CancelScope(shield=True):
            try:
                piece = await self._next()
            except ServiceFault as error:
                self._over = True
                self.failure = error.code
                raise
        await trio.lowlevel.checkpoint_if_cancelled()
        return piece

    async def drain(self) -> None:
        """Read what nobody waits for any more, for its usage."""
        try:
            while not self._over:
                await self._next()
        except ServiceFault as error:
            _log.warning("stream not drained", reason=error.message)

    async def _next(self) -> bytes | None:
        piece = await self._pieces.receive()
        *lines, self._rest = (self._rest + (piece or b"\n")).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise too_large(self._pieces.service)
        for line in lines:
            self._note(line)
        self._over = piece is None
        if self._over and self.metadata is None:
            raise BadGateway("Query ended its stream before it was complete.", service=self._pieces.service)
        return piece

    def _note(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            chunk = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise BadGateway("Query streamed something else than JSON.", service=self._pieces.service) from None
        metadata = chunk.get("metadata") if isinstance(chunk, dict) else None
        if isinstance(metadata, dict) and isinstance(metadata.get("token_usage"), dict):
            self.metadata = metadata


@frozen
class Gateway:
    """Passes requests on, and counts what they cost."""

    clients: Clients
    coordinator: ServiceCoordinator
    ledger: UsageLedger
    metrics: Metrics = field(factory=Metrics)

    async def generate(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        """Ask Query, and return its answer: `data`, `metadata`; raises what `Transport.call` raises."""
        body = _own(ctx, body)
        answer = await self.coordinator.run(
            GENERATE, _call(ctx), lambda limited: self.clients.query.query(limited, body)
        )
        await self._settle(ctx, _spent(UsageKind.GENERATE, body, answer))
        answer.inner("data").text("response")
        return answer.fields

    @asynccontextmanager
    async def stream(self, ctx: RequestContext, body: dict[str, Any]) -> AsyncIterator[GatewayStream]:
        """Ask Query, and hand out its answer as it comes; usage is counted also where its reader goes away."""
        body = {**_own(ctx, body), "stream": True}
        with self.coordinator.measured(GENERATE) as measured:
            async with self.clients.query.query_stream(_call(ctx), body) as pieces:
                passing = GatewayStream(pieces)
                try:
                    yield passing
                finally:
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + DRAIN_SECONDS):
                        await passing.drain()
                    measured.failure = passing.failure
                    answer = Answer("query", {"metadata": passing.metadata or {}})
                    await self._settle(ctx, _spent(UsageKind.GENERATE, body, answer))

    async def search(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        """Search through Query, and return its answer; raises what `Transport.call` raises."""
        body = _own(ctx, body)
        answer = await self.coordinator.run(
            SEARCH, _call(ctx), lambda limited: self.clients.query.search(limited, body)
        )
        await self._settle(ctx, _spent(UsageKind.SEARCH, body, answer))
        return answer.fields

    async def embed(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        """Embed texts, and return `embeddings`, `model`, `dimensions`, `total_tokens`."""
        body = _own(ctx, body)
        answer = await self.coordinator.run(
            EMBED, _call(ctx), lambda limited: self.clients.embedding.embed(limited, body)
        )
        answer = answer.inner("data") if "embeddings" not in answer.fields else answer
        total = answer.whole("total_tokens")
        spent = Spending(UsageKind.EMBED, answer.text("model"), _agent(body), prompt_tokens=total, total_tokens=total)
        await self._settle(ctx, spent)
        answer.items("embeddings")
        return answer.fields

    async def _settle(self, ctx: RequestContext, spent: Spending) -> None:
        """Count what was spent, whatever becomes of who asked; where the store stays away, the log has the figures."""
        self.metrics.tokens(ctx.tenant_id, prompt=spent.prompt_tokens, completion=spent.completion_tokens)
        settlement, moment_ms = new_id(), now_ms()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + SETTLE_SECONDS):
            while True:
                try:
                    await self.ledger.record(ctx.tenant_id, spent, settlement=settlement, moment_ms=moment_ms)
                except StoreUnavailable:
                    await trio.sleep(0.2)
                else:
                    return
        _log.error("usage not counted", tenant_id=ctx.tenant_id, spent=spent, correlation_id=ctx.correlation_id)


def _own(ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
    """Bind a body to the tenant of its request."""
    if body.get("tenant_id") not in {None, ctx.tenant_id}:
        raise TenantNotGranted("The body names another tenant than the request.")
    return {**body, "tenant_id": ctx.tenant_id}


def _call(ctx: RequestContext) -> CallContext:
    return CallContext(
        ctx.tenant_id,
        ctx.correlation_id,
        ctx.request_id,
        ctx.trace,
        trio.current_time() + CALL_SECONDS,
        ctx.idempotency_key,
    )


def _spent(kind: UsageKind, body: dict[str, Any], answer: Answer) -> Spending:
    metadata = Answer(answer.service, answer.mapping("metadata", {}), "$.metadata")
    usage = Answer(answer.service, metadata.mapping("token_usage", {}), "$.metadata.token_usage")
    prompt, completion = usage.whole("prompt_tokens", 0), usage.whole("completion_tokens", 0)
    cost = metadata.fields.get("cost")
    return Spending(
        kind,
        metadata.text("model", str(body.get("llm_model") or "unknown")),
        _agent(body),
        prompt,
        completion,
        usage.whole("total_tokens", prompt + completion),
        max(0.0, float(cost)) if isinstance(cost, int | float) else 0.0,
    )


def _agent(body: dict[str, Any]) -> str:
    agent_id = body.get("agent_id")
    return agent_id if isinstance(agent_id, str) and is_id(agent_id) else ""
