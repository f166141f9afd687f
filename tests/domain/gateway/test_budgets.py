"""What a call may spend, and what it has cost."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config.checks import model_price
from orchestrator.domain.gateway.budgets import Price, estimate_tokens, read_prices, told_nano
from orchestrator.models.gateway.usage import UsageKind
from orchestrator.sandbox.serving.text import count_tokens

texts = st.lists(st.text(max_size=200), max_size=5)
prices = st.decimals(min_value=0, max_value=1000, places=3)
counts = st.integers(0, 10**7)


@given(texts)
def test_an_embedding_never_takes_more_than_is_reserved(given_texts: list[str]) -> None:
    estimate = estimate_tokens(UsageKind.EMBED, {"texts": given_texts}, 1024)
    assert estimate >= sum(map(count_tokens, given_texts))


@given(st.text(max_size=500), st.integers(0, 10_000))
def test_an_answer_may_take_its_question_and_the_longest_answer(question: str, longest: int) -> None:
    body = {"query": question, "max_tokens": longest}
    assert estimate_tokens(UsageKind.GENERATE, body, 1024) >= count_tokens(question) + longest
    assert estimate_tokens(UsageKind.GENERATE, {"query": question}, longest) >= count_tokens(question) + longest


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ({"collection_id": "docs"}, 2 + 4 * 512),
        ({"collection_id": "docs", "similarity_top_k": 2}, 2 + 2 * 512),
        ({"messages": [{"role": "user", "content": "abc"}]}, 3),
        ({"query_embedding": [0.5] * 1000, "metadata": {"note": "x" * 1000}}, 0),
        ({"similarity_top_k": 50}, 0),
    ],
)
def test_passages_and_messages_are_reserved_too(body: dict[str, Any], more: int) -> None:
    plain = estimate_tokens(UsageKind.GENERATE, {"query": "why?"}, 1024)
    assert estimate_tokens(UsageKind.GENERATE, {"query": "why?", **body}, 1024) == plain + more


@given(prices, prices, st.lists(st.tuples(counts, counts), max_size=20))
def test_costs_add_up_exactly(prompt: Decimal, completion: Decimal, calls: list[tuple[int, int]]) -> None:
    price = Price(prompt, completion)
    together = price.nano(sum(call[0] for call in calls), sum(call[1] for call in calls))
    assert sum(price.nano(*call) for call in calls) == together


@given(st.integers(0, 10**15))
def test_a_cost_that_a_service_tells_is_taken_as_it_meant_it(nano: int) -> None:
    assert told_nano(nano / 10**9) == nano


@pytest.mark.parametrize("cost", [None, True, "0.1", -0.1, float("nan"), float("inf")])
def test_an_invalid_cost_counts_as_none(cost: object) -> None:
    assert told_nano(cost) is None


def test_a_price_table_is_read() -> None:
    rows = ("large=2.5/10", "llama3:8b=1", "odd=name=0.02/0")
    assert [model_price(row) for row in rows] == [None] * 3
    assert read_prices(rows) == {
        "large": Price(Decimal("2.5"), Decimal(10)),
        "llama3:8b": Price(Decimal(1), Decimal(0)),
        "odd=name": Price(Decimal("0.02"), Decimal(0)),
    }


@pytest.mark.parametrize("row", ["large", "=1", "large=-1", "large=1/x", "large=1e3"])
def test_an_invalid_price_is_refused(row: str) -> None:
    assert model_price(row) is not None
