"""What a call of the gateway may spend before it is known, and what it has cost afterwards."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from attrs import frozen

from orchestrator.models.gateway.usage import UsageKind

BYTES_A_TOKEN: Final = 3
"""Text of common languages has 3 to 5 bytes a token; the lower figure reserves rather too much."""
PASSAGE_TOKENS: Final = 512
"""What one retrieved passage may add to a prompt."""
PASSAGES: Final = 4
"""So many are retrieved where a body does not say."""
MOST_TOKENS: Final = 10**12
"""More than any call can spend; ledger and budgets can add up millions of such calls (64 bits)."""
_NANO: Final = 1_000_000_000
MOST_NANO: Final = 10**6 * _NANO
"""More than any call can cost, in billionths."""
_UNREAD: Final = frozenset({"tenant_id", "query_embedding", "metadata"})


def estimate_tokens(kind: UsageKind, body: Mapping[str, Any], completion_tokens: int) -> int:
    """Return how many tokens to reserve for a call: its text by length, its passages, and the longest answer.

    Args:
        kind: what is called.
        body: what is sent.
        completion_tokens: the longest answer where the body has no `max_tokens`.
    """
    texts = _texts([value for name, value in body.items() if name not in _UNREAD])
    # A word is a token at least, however short.
    prompt = sum(max(len(text.split()), -(-len(text.encode()) // BYTES_A_TOKEN)) for text in texts)
    if kind is not UsageKind.GENERATE:
        return prompt
    passages = _whole(body.get("similarity_top_k"), PASSAGES) if body.get("collection_id") is not None else 0
    return prompt + passages * PASSAGE_TOKENS + _whole(body.get("max_tokens"), completion_tokens)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _whole(value: object, default: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return default
    return min(value, MOST_TOKENS)


@frozen
class Price:
    """What a million tokens of a model cost."""

    prompt: Decimal
    completion: Decimal

    def nano(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Return what tokens cost, in billionths."""
        millions = self.prompt * prompt_tokens + self.completion * completion_tokens
        return _rounded(millions * (_NANO // 1_000_000))


def read_prices(rows: Iterable[str]) -> dict[str, Price]:
    """Read a price table: `model=prompt/completion` each, in the currency for a million tokens."""
    prices = {}
    for row in rows:
        model, _, figures = row.rpartition("=")
        prompt, _, completion = figures.partition("/")
        prices[model] = Price(Decimal(prompt), Decimal(completion or "0"))
    return prices


def told_nano(cost: object) -> int | None:
    """Return a cost that a service tells in its currency as billionths; None where it tells none."""
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < float("inf"):
        return None
    # Its shortest decimal form is what the service meant.
    return _rounded(Decimal(str(cost)) * _NANO)


def _rounded(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_UP))
