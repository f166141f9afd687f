"""The gateway to Query and Embedding: the only way of agents and services to language models, and the source of usage.

    request ── cache ──▶ cached answer                   services/gateway/single_flight.py
                └─ budget and rates reserved             services/gateway/reservations.py
                    └─ call of the service, usage settled
                        └─ outcome unknown: in doubt     services/gateway/reconciler.py

The token counts in the answer of a chat turn are for its reader: the same tokens were spent, and counted, here. A call
goes on when its client disconnects: it is paid for anyway.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import orjson
import structlog
import trio
from attrs import evolve, field, frozen

from orchestrator.clients.registry import Clients
from orchestrator.clients.transport.answers import ServiceAnswer, as_answer
from orchestrator.clients.transport.responses import Pieces
from orchestrator.config.gateway import GatewaySettings
from orchestrator.domain.gateway.budgets import read_prices
from orchestrator.domain.gateway.gateway_cache import (
    Vector,
    may_share,
    pack_vector,
    request_digest,
    text_digests,
    unpack_vector,
)
from orchestrator.errors import InvalidAnswer, StoreUnavailable
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.gateway.gateway import GatewayCall
from orchestrator.models.gateway.usage import Spending, UsageKind
from orchestrator.models.plans.orchestration import ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.gateway.callers_faults import blaming_the_caller
from orchestrator.services.gateway.gateway_answers import embedded, embedding_of, texts_of, with_origin
from orchestrator.services.gateway.gateway_requests import EMBED, GENERATE, SEARCH, RequestReader
from orchestrator.services.gateway.gateway_stream import CachedPieces, GatewayStream
from orchestrator.services.gateway.reconciler import Reconciler
from orchestrator.services.gateway.reservations import Reservation, Reservations
from orchestrator.services.gateway.single_flight import AnswerCodec, AnswerOrigin, SingleFlight
from orchestrator.store.background_loops import Loop
from orchestrator.store.gateway.answer_cache import AnswerCache
from orchestrator.store.gateway.gateway_calls import GatewayCalls
from orchestrator.store.gateway.usage import UsageLedger
from orchestrator.store.records import as_object
from orchestrator.telemetry.metrics import Metrics
from orchestrator.telemetry.tracing.calls import begin_spending, spent
from orchestrator.telemetry.tracing.spans import OpenSpan

CALL_SECONDS: Final = 120.0
"""Deadline of a call with all its tries; of a stream as a whole."""
DRAIN_SECONDS: Final = 10.0
"""Time for which a stream is read after its reader has disconnected, for the usage at its end, in seconds."""
_log = structlog.get_logger("orchestrator.services.gateway.gateway")
Ask = Callable[[CallContext, dict[str, Any]], Awaitable[ServiceAnswer]]


@frozen
class Gateway:
    """Passes requests to Query and Embedding, and accounts for their usage."""

    clients: Clients
    coordinator: ServiceCoordinator
    reservations: Reservations
    flights: SingleFlight
    ledger: UsageLedger
    settings: GatewaySettings
    metrics: Metrics
    reader: RequestReader = field(init=False)
    reconciler: Reconciler = field(init=False)

    @reader.default
    def _reader(self) -> RequestReader:
        return RequestReader(self.settings, read_prices(self.settings.prices))

    @reconciler.default
    def _reconciler(self) -> Reconciler:
        return Reconciler(self.reservations, self.clients, self.coordinator, self.reader)

    @property
    def loops(self) -> list[Loop]:
        """Shared calls, the renewal of leases, and the reconciliation of calls in doubt."""
        return [
            Loop("gateway_calls", self.flights.run),
            Loop("gateway_leases", self.reservations.keep_leases, "gateway.leases_not_renewed"),
            Loop("gateway_doubts", self.reconciler.carry),
            Loop("gateway_reconciler", self.reconciler.run, "gateway.doubts_not_taken"),
        ]

    async def idle(self) -> None:
        """Wait until no call is running."""
        await self.flights.idle()

    async def generate(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        """Generate an answer with Query, and return it: `data`, `metadata`.

        Raises:
            BudgetExhausted, RateLimited: the tenant has no budget or rate left for it.
            InvalidBody, Unprocessable: the body lacks something, or Query refuses it.
            OrchestratorError: what `Transport.call` raises.
        """
        call = self.reader.call(ctx, UsageKind.GENERATE, body)
        with blaming_the_caller():
            return await self._whole(ctx, call, body, GENERATE, self.clients.query.query, self.settings.generate_ttl)

    async def search(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        """Search through Query, and return its answer; raises as `generate` does."""
        call = self.reader.call(ctx, UsageKind.SEARCH, body)
        with blaming_the_caller():
            return await self._whole(ctx, call, body, SEARCH, self.clients.query.search, self.settings.search_ttl)

    async def embed(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        """Embed texts, and return `embeddings`, `model`, `dimensions`, `total_tokens`; raises as `generate` does.

        Texts that were embedded before are taken from the cache; `total_tokens` is the usage of the others.
        """
        with blaming_the_caller():
            return await self._embed_all(ctx, body)

    async def _embed_all(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        texts = texts_of(body)
        call = self.reader.call(ctx, UsageKind.EMBED, body)
        if not may_share(UsageKind.EMBED, body) or self.settings.embedding_ttl <= 0:
            self.metrics.gateway_call(call.kind, "bypass")
            given: ServiceAnswer = (await self.flights.apart(lambda: self._embed(ctx, call, texts)))[0]
            return with_origin(given, "miss")
        digests = text_digests(body, texts)
        by_digest = dict(zip(digests, texts, strict=True))
        answers: list[ServiceAnswer] = []

        async def fetch(missing: list[str]) -> list[Vector]:
            asked = [by_digest[digest] for digest in missing]
            part = self.reader.call(ctx, UsageKind.EMBED, {**body, "texts": asked})
            answer, vectors = await self._embed(ctx, part, asked)
            answers.append(answer)
            return vectors

        unique = list(by_digest)
        codec = AnswerCodec(self._vector_packer, unpack_vector, _ms(self.settings.embedding_ttl))
        shared = await self.flights.obtain(ctx.tenant_id, UsageKind.EMBED, unique, codec, fetch)
        if len({one.value.model for one in shared}) > 1:
            # The service has changed its model, and vectors of two models can't be compared.
            shared = await self.flights.anew(ctx.tenant_id, UsageKind.EMBED, unique, codec, fetch)
        cached = sum(one.origin is AnswerOrigin.KEPT for one in shared)
        vectors_of = {digest: one.value for digest, one in zip(unique, shared, strict=True)}
        await self._count_use(ctx, call, shared[0].value.model, hit=cached == len(unique))
        return embedded([vectors_of[digest] for digest in digests], answers, cached)

    @asynccontextmanager
    async def stream(self, ctx: RequestContext, body: dict[str, Any]) -> AsyncIterator[GatewayStream]:
        """Generate an answer with Query, and stream it; usage is counted also where the reader disconnects.

        With `cache: true` an answer that was streamed before is given again, in one piece.
        """
        body = {**body, "stream": True}
        call = self.reader.call(ctx, UsageKind.GENERATE, body)
        keeps = may_share(UsageKind.GENERATE, body) and self.settings.generate_ttl > 0
        digest = request_digest(body)
        cache = self.flights.cache
        found = (await cache.seek(ctx.tenant_id, call.kind, [digest], call.call_id))[0] if keeps else None
        if isinstance(found, bytes) and await self._count_cached(ctx, call, found):
            yield GatewayStream(CachedPieces(found))
            return
        self.metrics.gateway_call(call.kind, "miss" if keeps else "bypass")
        with blaming_the_caller():
            async with self._passing(ctx, call, self.settings.cache_answer_bytes if keeps else 0) as passing:
                yield passing
        if passing.whole is not None:
            codec = AnswerCodec(lambda whole: whole, bytes, _ms(self.settings.generate_ttl))
            await self.flights.keep(ctx.tenant_id, call.kind, {digest: passing.whole}, codec, call.call_id)

    @asynccontextmanager
    async def _passing(self, ctx: RequestContext, call: GatewayCall, keep_bytes: int) -> AsyncIterator[GatewayStream]:
        async with AsyncExitStack() as stack:
            span = stack.enter_context(_begin_span(ctx, call, GENERATE))
            context = _context(ctx, call).under(span.ids)
            held = await stack.enter_async_context(self.reservations.open(call))
            attempt = await stack.enter_async_context(self.coordinator.attempt(GENERATE, context))

            async def ask(context: CallContext) -> Pieces:
                return await stack.enter_async_context(self.clients.query.query_stream(context, call.body))

            passing = GatewayStream(await held.attempt(ask, evolve(context, heard=attempt.heard)), keep_bytes)
            try:
                yield passing
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + DRAIN_SECONDS):
                    await passing.drain()
                attempt.failure = passing.failure
                if passing.usage is not None:
                    await _settle(held, self.reader.spent(call, passing.usage), span)

    async def _whole(
        self, ctx: RequestContext, call: GatewayCall, body: dict[str, Any], step: ServiceCall, ask: Ask, ttl: float
    ) -> dict[str, Any]:
        """Return the answer of a call that is not streamed, from the cache or the service."""

        async def fetch(_: list[str]) -> list[ServiceAnswer]:
            return [await self._spend(ctx, call, step, ask)]

        if not may_share(call.kind, body) or ttl <= 0:
            self.metrics.gateway_call(call.kind, "bypass")
            (answer,) = await self.flights.apart(lambda: fetch([]))
            return with_origin(answer, "miss")

        def unpack(raw: bytes) -> ServiceAnswer:
            answer = as_answer(step.service, as_object(orjson.loads(raw)))
            _check(call, answer)
            self.reader.spent(call, answer)  # raises where it tells no usage
            return answer

        codec = AnswerCodec(self._answer_packer, unpack, _ms(ttl))
        (found,) = await self.flights.obtain(ctx.tenant_id, call.kind, [request_digest(body)], codec, fetch)
        hit = found.origin is AnswerOrigin.KEPT
        model = self.reader.spent(call, found.value).model if hit else ""
        await self._count_use(ctx, call, model, hit=hit)
        return with_origin(found.value, "hit" if hit else "miss")

    async def _spend(self, ctx: RequestContext, call: GatewayCall, step: ServiceCall, ask: Ask) -> ServiceAnswer:
        """Make a call, and settle its usage."""
        with _begin_span(ctx, call, step) as span:
            async with self.reservations.open(call) as held:
                answer = await self.coordinator.run(
                    step,
                    _context(ctx, call).under(span.ids),
                    lambda limited: held.attempt(lambda context: ask(context, call.body), limited),
                )
                await _settle(held, self.reader.spent(call, answer), span)
        # Checked after settling: a malformed answer is paid for too.
        _check(call, answer)
        return answer

    async def _embed(
        self, ctx: RequestContext, call: GatewayCall, texts: list[str]
    ) -> tuple[ServiceAnswer, list[Vector]]:
        answer = await self._spend(ctx, call, EMBED, self.clients.embedding.embed)
        inner = embedding_of(answer)
        rows = inner.items("embeddings")
        if len(rows) != len(texts):
            message = f"Embedding answered {len(rows)} embeddings for {len(texts)} texts."
            raise InvalidAnswer(message, service="embedding")
        if not all(isinstance(row, list) for row in rows):
            raise InvalidAnswer("Embedding answered something else than lists of numbers.", service="embedding")
        return inner, [Vector(inner.text("model"), row) for row in rows]

    def _vector_packer(self, vector: Vector) -> bytes | None:
        return self._small(pack_vector(vector))

    def _answer_packer(self, answer: ServiceAnswer) -> bytes | None:
        return self._small(orjson.dumps(answer.fields))

    def _small(self, packed: bytes | None) -> bytes | None:
        return packed if packed is not None and len(packed) <= self.settings.cache_answer_bytes else None

    async def _count_cached(self, ctx: RequestContext, call: GatewayCall, stream: bytes) -> bool:
        """Count the use of a cached stream; returns false where it can't be read, which is logged."""
        cached = GatewayStream(CachedPieces(stream))
        await cached.drain()
        try:
            if cached.usage is None:
                raise InvalidAnswer("The cached stream is cut off.", service="query")
            model = self.reader.spent(call, cached.usage).model
        except InvalidAnswer as damage:
            _log.error("record.damaged", tenant_id=ctx.tenant_id, error=damage.message)
            return False
        await self._count_use(ctx, call, model, hit=True)
        return True

    async def _count_use(self, ctx: RequestContext, call: GatewayCall, model: str, *, hit: bool) -> None:
        """Count a hit or a miss of the cache; hits are in the ledger too, where Redis is there."""
        self.metrics.gateway_call(call.kind, "hit" if hit else "miss")
        if hit:
            try:
                await self.ledger.count_hit(ctx.tenant_id, call.kind, model, call.payer, ctx.correlation_id)
            except StoreUnavailable as error:
                _log.warning("gateway.hit_not_counted", tenant_id=ctx.tenant_id, error=error.reason)


def open_gateway(
    clients: Clients,
    coordinator: ServiceCoordinator,
    calls: GatewayCalls,
    cache: AnswerCache,
    ledger: UsageLedger,
    settings: GatewaySettings,
    metrics: Metrics | None = None,
) -> Gateway:
    """Build a gateway; it serves while `Gateway.loops` run."""
    metrics = metrics or Metrics()
    return Gateway(clients, coordinator, Reservations(calls, metrics), SingleFlight(cache), ledger, settings, metrics)


def _check(call: GatewayCall, answer: ServiceAnswer) -> None:
    """Refuse an answer that lacks what was asked for: InvalidAnswer."""
    if call.kind is UsageKind.GENERATE:
        answer.inner("data").text("response")


def _context(ctx: RequestContext, call: GatewayCall) -> CallContext:
    context = CallContext(
        ctx.tenant_id,
        ctx.correlation_id,
        ctx.request_id,
        ctx.trace,
        trio.current_time() + CALL_SECONDS,
        call.call_id,
    )
    return context.to("agent", call.payer.agent_id) if call.payer.agent_id else context


def _begin_span(ctx: RequestContext, call: GatewayCall, step: ServiceCall) -> OpenSpan:
    """Begin the span of a call, with all its tries."""
    return begin_spending(
        call.kind,
        ctx.trace,
        service=step.service,
        model=call.model,
        tenant_id=ctx.tenant_id,
        agent_id=call.payer.agent_id,
        session_id=call.payer.session_id,
        correlation_id=ctx.correlation_id,
        streams=call.streams,
    )


async def _settle(held: Reservation, spending: Spending, span: OpenSpan) -> None:
    """Settle the usage of a call."""
    spent(span, spending.model, spending.prompt_tokens, spending.completion_tokens)
    await held.settle(spending)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
