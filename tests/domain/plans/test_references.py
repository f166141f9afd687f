"""References of plans."""

from typing import Any

import pytest

from orchestrator.domain.plans.references import MOST_VISITS, Missing, find, parse, resolve

DATA: dict[str, Any] = {
    "input": {"city": "Cuxhaven", "tags": ["a", "b"], "people": [{"name": "Ana", "age": 40}, {"name": "Bo", "age": 7}]},
    "calls": {"search": {"result": {"hits": [{"id": 1}, {"id": 2}], "none": []}}, "broken": {"error": {"code": "X"}}},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.input.city", "Cuxhaven"),
        ("$.input.people[-1].name", "Bo"),
        ("$.input['city']", "Cuxhaven"),
        ("$.calls.search.result.hits[0].id", 1),
        ("$.calls.search.result.none", []),
        ("$.calls.broken.error.code", "X"),
        ("$.calls['search'].result.hits[*].id", [1, 2]),
        ("$.input.people[?@.age > 18].name", ["Ana"]),
        ("$.input.people[?length(@.name) == 2].age", [7]),
        ("$.input.tags[0:1]", ["a"]),
        ("$.calls['search','nobody'].result.hits[0].id", [1]),
        ("$.input.nobody[*]", []),
    ],
)
def test_a_path_stands_for_the_value_or_the_values_that_it_leads_to(path: str, value: Any) -> None:
    assert resolve(path, DATA) == value


def test_references_are_replaced_however_deep_they_stand() -> None:
    parameters = {"a": ["x", {"b": "$.input.city"}], "c": 1, "d": "costs $5", "e": None}
    assert resolve(parameters, DATA) == {"a": ["x", {"b": "Cuxhaven"}], "c": 1, "d": "costs $5", "e": None}
    assert list(find(parameters, "$.p")) == [("$.p.a[1].b", "$.input.city")]


def test_two_dollars_begin_a_plain_string() -> None:
    assert resolve("$$.input.city", DATA) == "$.input.city"
    assert resolve("$$", DATA) == "$$"


def test_a_path_to_one_place_that_is_not_there_is_named() -> None:
    with pytest.raises(Missing, match=r"\$\.input\.street leads to nothing"):
        resolve({"a": "$.input.street"}, DATA)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("$.input.", "is no JSONPath"),
        ("$.input[", "is no JSONPath"),
        ("$.input.x | $.input.y", "is no JSONPath"),
        ("$.input.a b", "is no JSONPath"),
        ("$.secret", "must begin with"),
        ("$.*", "must begin with"),
        ("$.calls", "must go on with"),
        ("$.calls.*.result", "must go on with"),
        ("$.calls.a", "must go on with"),
        ("$.calls.a.state", "must go on with"),
        ("$.calls.a['result','error']", "must go on with"),
        ("$.input..x", "descends"),
        ("$.input[?@..x]", "more than one place"),
        ("$.input[?@.*]", "more than one place"),
        ("$.input[?@.a == $.calls.b.result]", "elsewhere"),
        ("$.input[?@[?@.a]]", "more than one place"),
        ("$.input[?match(@.a, '(a+)+')]", "is no JSONPath"),
        ("$.input[?search(@.a, 'b')]", "is no JSONPath"),
        ("$.input[?isinstance(@.a, 'int')]", "is no JSONPath"),
        ("$.input." + "a" * 500, "is longer"),
        ("$.input[?" + "(" * 240 + "@.a" + ")" * 240 + "]", "has more than 16 of the signs"),
        ("$.input" + "[?@.a]" * 17, "has more than 16 of the signs"),
    ],
)
def test_a_path_that_is_not_taken_says_why(path: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault.replace("(", r"\(")):
        parse(path)


def test_only_a_path_to_one_result_needs_its_call_to_be_done() -> None:
    assert parse("$.calls.a.result.b").needs == "a"
    assert parse("$.calls.a.result[*]").needs is None
    assert parse("$.calls['a','b'].result").calls == ("a", "b")
    assert parse("$.calls['a','b'].result").needs is None
    assert parse("$.calls.a.error").needs is None
    assert parse("$.input.a").calls == ()


@pytest.mark.parametrize("path", ["$.input.many[*]", "$.input.many[?@.x]"])
def test_a_path_looks_at_a_bounded_number_of_values(path: str) -> None:
    with pytest.raises(Missing, match="leads beyond"):
        resolve(path, {"input": {"many": list(range(MOST_VISITS))}, "calls": {}})


def test_the_paths_of_a_call_share_what_may_be_looked_at() -> None:
    half = {"input": {"many": list(range(MOST_VISITS // 2))}, "calls": {}}
    assert len(resolve(["$.input.many[*]"], half)[0]) == MOST_VISITS // 2
    with pytest.raises(Missing, match="leads beyond"):
        resolve(["$.input.many[*]"] * 2, half)


def test_a_path_that_doubles_its_way_at_each_step_is_stopped() -> None:
    data: Any = 1
    for _ in range(40):
        data = {"a": data}
    with pytest.raises(Missing, match="leads beyond"):
        resolve("$.input" + "['a','a']" * 40 + ".z", {"input": data, "calls": {}})
