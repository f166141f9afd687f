"""Requests to the gateway: the call that a request becomes, and the usage in the answer."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import frozen

from orchestrator.clients import embedding, query
from orchestrator.clients.transport.answers import ServiceAnswer, title
from orchestrator.config.gateway import GatewaySettings
from orchestrator.domain.gateway.budgets import MOST_NANO, MOST_TOKENS, Price, estimate_tokens, told_nano
from orchestrator.errors import InvalidAnswer, TenantNotGranted
from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.common.principal import RequestContext, Role
from orchestrator.models.gateway.gateway import GatewayCall
from orchestrator.models.gateway.usage import Payer, Spending, UsageKind
from orchestrator.models.plans.orchestration import MEDIUM, ServiceCall
from orchestrator.services.gateway.callers_faults import check_required
from orchestrator.services.gateway.gateway_answers import embedding_of

LONGEST_MODEL: Final = 128
"""Characters of a model's name that are stored."""
GENERATE: Final = ServiceCall(*query.GENERATE.key, MEDIUM)
SEARCH: Final = ServiceCall(*query.SEARCH.key, MEDIUM)
EMBED: Final = ServiceCall(*embedding.CREATE.key, MEDIUM)
STEPS: Final = {UsageKind.GENERATE: GENERATE, UsageKind.SEARCH: SEARCH, UsageKind.EMBED: EMBED}
_OPERATIONS: Final = {
    UsageKind.GENERATE: query.GENERATE,
    UsageKind.SEARCH: query.SEARCH,
    UsageKind.EMBED: embedding.CREATE,
}
_MODEL_FIELDS: Final = {UsageKind.GENERATE: "llm_model", UsageKind.SEARCH: "llm_model", UsageKind.EMBED: "model"}


@frozen
class RequestReader:
    """Reads requests and answers.

    Args:
        settings: of the gateway.
        prices: of models, for services that tell no cost.
    """

    settings: GatewaySettings
    prices: Mapping[str, Price]

    def call(self, ctx: RequestContext, kind: UsageKind, body: dict[str, Any]) -> GatewayCall:
        """Return the call of a request.

        Its id is the idempotency key at the service. Where the client gave a key, the id is derived from that key and
        the body: the same request again is the same call, another body is another call.

        Raises:
            InvalidBody: the body lacks what the service must have.
            TenantNotGranted: it names another tenant.
        """
        check_required(_OPERATIONS[kind], body)
        if body.get("tenant_id") not in (None, ctx.tenant_id):
            raise TenantNotGranted("The body names another tenant than the request.")
        sent = {**{name: value for name, value in body.items() if name != "cache"}, "tenant_id": ctx.tenant_id}
        return GatewayCall(
            call_id=_name(ctx, kind, sent),
            tenant_id=ctx.tenant_id,
            kind=kind,
            body=sent,
            model=_text(body, _MODEL_FIELDS[kind])[:LONGEST_MODEL],
            estimate=estimate_tokens(kind, body, self.settings.completion_tokens),
            payer=Payer(_id(body, "agent_id"), _id(body, "user_id") or _user(ctx), _id(body, "session_id")),
            correlation_id=ctx.correlation_id,
            named=ctx.idempotency_key is not None,
        )

    def spent(self, call: GatewayCall, answer: ServiceAnswer) -> Spending:
        """Read the usage of a call from its answer.

        Raises:
            InvalidAnswer: the usage is malformed or out of bounds, or missing in an answer of Embedding.
        """
        spent = self._told(call, answer)
        tokens = max(spent.prompt_tokens, spent.completion_tokens, spent.total_tokens)
        if tokens > MOST_TOKENS or spent.cost_nano > MOST_NANO:
            message = f"{title(answer.service)} claims more usage than any call can have."
            raise InvalidAnswer(message, service=answer.service)
        return spent

    def _told(self, call: GatewayCall, answer: ServiceAnswer) -> Spending:
        if call.kind is UsageKind.EMBED:
            inner = embedding_of(answer)
            total = inner.whole("total_tokens")
            return self._priced(inner.text("model"), total, 0, total, inner.fields.get("cost"))
        metadata = ServiceAnswer(answer.service, answer.mapping("metadata", {}), "$.metadata")
        usage = ServiceAnswer(answer.service, metadata.mapping("token_usage", {}), "$.metadata.token_usage")
        prompt, completion = usage.whole("prompt_tokens", 0), usage.whole("completion_tokens", 0)
        total = usage.whole("total_tokens", prompt + completion)
        model = metadata.text("model", call.model or "unknown")
        return self._priced(model, prompt, completion, total, metadata.fields.get("cost"))

    def _priced(self, model: str, prompt: int, completion: int, total: int, cost: object) -> Spending:
        model = model[:LONGEST_MODEL]
        nano, price = told_nano(cost), self.prices.get(model)
        if nano is None:
            nano = price.nano(prompt, completion) if price is not None else 0
        return Spending(model, prompt, completion, total, nano)


def _name(ctx: RequestContext, kind: UsageKind, sent: Mapping[str, Any]) -> str:
    if ctx.idempotency_key is None:
        return new_id()
    scope = [ctx.principal.user_id, kind, ctx.idempotency_key, sent]
    return hashlib.sha256(orjson.dumps(scope, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _user(ctx: RequestContext) -> str:
    """Return the user whose plan makes a call; empty where a service makes it, on behalf of a task."""
    return "" if ctx.principal.role is Role.SERVICE else ctx.principal.user_id


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _id(body: Mapping[str, Any], name: str) -> str:
    text = _text(body, name)
    return text if is_id(text) else ""
