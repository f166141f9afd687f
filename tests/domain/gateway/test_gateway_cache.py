"""When two requests to the gateway are the same, and how vectors are kept."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.gateway.gateway_cache import (
    ABOUT_THE_ASKER,
    Vector,
    may_share,
    pack_vector,
    request_digest,
    text_digests,
    unpack_vector,
)
from orchestrator.models.gateway.usage import UsageKind

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=8).filter(lambda name: name not in ABOUT_THE_ASKER), plain, max_size=6)


@given(bodies, st.randoms(use_true_random=False), st.sampled_from(sorted(ABOUT_THE_ASKER)), plain)
def test_the_order_of_fields_and_who_asks_make_no_difference(
    body: dict[str, Any], random: Random, name: str, value: Any
) -> None:
    shuffled = list(body.items())
    random.shuffle(shuffled)
    assert request_digest({**dict(shuffled), name: value}) == request_digest(body)


@given(bodies, st.text(max_size=8).filter(lambda name: name not in ABOUT_THE_ASKER), plain)
def test_any_other_difference_makes_another_digest(body: dict[str, Any], name: str, value: Any) -> None:
    changed = {**body, name: value}
    different = name not in body or repr(body[name]) != repr(value)
    assert (request_digest(changed) != request_digest(body)) == different


@given(st.lists(st.text(max_size=10), min_size=1, max_size=6), st.sampled_from(["small", "large"]))
def test_equal_texts_have_equal_digests_and_other_models_have_others(texts: list[str], model: str) -> None:
    digests = text_digests({"texts": texts, "model": model, "user_id": "ann"}, texts)
    assert len(set(digests)) == len(set(texts))
    assert digests == text_digests({"model": model}, texts)
    assert set(digests).isdisjoint(text_digests({"model": f"{model}-2"}, texts))


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
    st.lists(st.floats(allow_nan=False) | st.integers(-(2**53), 2**53)),
)
def test_the_very_same_numbers_are_read_again(model: str, numbers: list[float]) -> None:
    packed = pack_vector(Vector(model, numbers))
    assert packed is not None
    assert unpack_vector(packed) == Vector(model, numbers)


@pytest.mark.parametrize("odd", [2**53 + 1, "0.5", None, True, [0.5]])
def test_numbers_without_an_exact_float_are_not_cached(odd: Any) -> None:
    assert pack_vector(Vector("small", [0.5, odd])) is None


@pytest.mark.parametrize(
    ("kind", "body", "shares"),
    [
        (UsageKind.GENERATE, {}, True),
        (UsageKind.GENERATE, {"temperature": 0}, True),
        (UsageKind.GENERATE, {"temperature": 0.1}, False),
        (UsageKind.GENERATE, {"stream": True}, False),
        (UsageKind.GENERATE, {"stream": True, "temperature": 1, "cache": True}, True),
        (UsageKind.GENERATE, {"cache": False}, False),
        (UsageKind.SEARCH, {"temperature": 1}, True),
        (UsageKind.EMBED, {"cache": False}, False),
        (UsageKind.EMBED, {"cache": "no"}, True),
    ],
)
def test_streams_and_random_answers_are_not_cached(kind: UsageKind, body: dict[str, Any], shares: bool) -> None:
    assert may_share(kind, body) is shares
