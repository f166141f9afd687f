"""Conditions of calls."""

from typing import Any

import pytest

from orchestrator.domain.plans.conditions import DEEPEST, MOST_COMPARED, MOST_NODES, faults, holds
from orchestrator.domain.plans.references import TooCostly

DATA: dict[str, Any] = {"input": {"age": 40, "name": "Ana", "tags": ["a"], "none": None, "empty": []}, "calls": {}}


@pytest.mark.parametrize(
    ("condition", "is_true"),
    [
        ({"equals": ["$.input.age", 40]}, True),
        ({"equals": [1, 1.0]}, True),
        ({"equals": [1, True]}, False),
        ({"equals": [[0], [False]]}, False),
        ({"equals": [{"a": [1]}, {"a": [1.0]}]}, True),
        ({"equals": [{"a": 1}, {"b": 1}]}, False),
        ({"equals": ["$.input.nobody", "$.input.nothing"]}, True),
        ({"equals": ["$.input.nobody", None]}, False),
        ({"equals": ["$.input.none", None]}, True),
        ({"not_equals": ["$.input.nobody", 1]}, True),
        ({"greater": ["$.input.age", 39.5]}, True),
        ({"greater": ["$.input.age", "39"]}, False),
        ({"less": ["$.input.age", "39"]}, False),
        ({"less": ["a", "b"]}, True),
        ({"less": [False, True]}, False),
        ({"less": ["$.input.nobody", 1]}, False),
        ({"at_least": [2, 2]}, True),
        ({"at_least": [3, 2]}, True),
        ({"at_least": [1, 2]}, False),
        ({"at_most": [None, None]}, True),
        ({"at_most": [1, 2]}, True),
        ({"in": ["a", "$.input.tags"]}, True),
        ({"in": [True, [1]]}, False),
        ({"in": ["a", "abc"]}, False),
        ({"contains": ["$.input.name", "na"]}, True),
        ({"contains": ["$.input", "age"]}, True),
        ({"contains": ["$.input.tags", "b"]}, False),
        ({"contains": [1, 1]}, False),
        ({"exists": "$.input.none"}, True),
        ({"exists": "$.input.empty"}, True),
        ({"exists": "$.input.empty[*]"}, False),
        ({"exists": "$.input.nobody"}, False),
        ({"and": [{"exists": "$.input.age"}, {"equals": [1, 2]}]}, False),
        ({"or": [{"equals": [1, 2]}, {"exists": "$.input.age"}]}, True),
        ({"not": {"equals": [1, 2]}}, True),
    ],
)
def test_a_condition_is_true_or_false_and_never_a_fault(condition: dict[str, Any], is_true: bool) -> None:
    assert list(faults(condition, "$.when")) == []
    assert holds(condition, DATA) is is_true


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({}, "$.when"),
        ({"equals": [1, 1], "less": [1, 2]}, "$.when"),
        ("true", "$.when"),
        ({"eval": "1"}, "$.when.eval"),
        ({"equals": 1}, "$.when.equals"),
        ({"equals": [1]}, "$.when.equals"),
        ({"and": []}, "$.when.and"),
        ({"and": [{"not": {"xor": [1, 2]}}]}, "$.when.and[0].not.xor"),
        ({"exists": "input.a"}, "$.when.exists"),
    ],
)
def test_a_condition_of_the_wrong_shape_is_told_by_its_path(condition: Any, path: str) -> None:
    assert [found for found, _ in faults(condition, "$.when")] == [path]


def test_a_condition_is_bounded_in_depth_and_size() -> None:
    deep: dict[str, Any] = {"exists": "$.input"}
    for _ in range(DEEPEST):
        deep = {"not": deep}
    assert any("nested" in fault for _, fault in faults(deep, "$.when"))
    wide = {"or": [{"equals": [1, 1]}] * MOST_NODES}
    assert [fault for _, fault in faults(wide, "$.when")] == [f"has more than {MOST_NODES} comparisons"]


@pytest.mark.parametrize(
    "condition",
    [
        {"in": ["$.input.one", "$.input.many"]},
        {"contains": ["$.input.many", -1]},
        {"equals": ["$.input.many", "$.input.same"]},
        {"not": {"not_equals": ["$.input.many", "$.input.same"]}},
        {"or": [{"contains": ["$.input.some", -1]}] * 10},
        {"exists": "$.input.many[?@.x]"},
    ],
)
def test_a_condition_that_compares_too_many_values_is_refused(condition: dict[str, Any]) -> None:
    many = list(range(MOST_COMPARED + 1))
    data = {"input": {"one": -1, "many": many, "same": [*many[:-1], -1], "some": many[: MOST_COMPARED // 4]}}
    with pytest.raises(TooCostly):
        holds(condition, data)
