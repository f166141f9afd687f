"""Conditions of calls (`when`): comparison trees in JSON, compared by rule and never evaluated as code.

A node is an object with one member:

- `{"equals": [a, b]}`, `not_equals`, `greater`, `less`, `at_least`, `at_most`: compare two operands;
- `{"in": [a, list]}`, `{"contains": [list | string | object, a]}`: look for a value, a part of a string, a member;
- `{"exists": "$.…"}`: whether a reference leads to something (a list of findings: whether it is not empty);
- `{"and": [node, …]}`, `{"or": [node, …]}`, `{"not": node}`.

Operands are plain values or references. They compare as in the filters of RFC 9535 (section 2.3.5.2.2): what is not
there equals only what is not there either; numbers are ordered with numbers and strings with strings, anything else is
neither greater nor less; `true` is not `1`. So a comparison is never a fault, only true or false.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from orchestrator.domain.plans.references import MOST_VISITS, Missing, is_reference, parse, resolve

DEEPEST: Final = 16
MOST_NODES: Final = 100
_NOTHING: Final = object()


def faults(condition: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the shape of a condition: (path, fault). References are looked at elsewhere."""
    budget = [MOST_NODES]
    yield from _faults(condition, path, 1, budget)
    if budget[0] < 0:
        yield path, f"has more than {MOST_NODES} comparisons"


def holds(condition: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Tell whether a condition without faults is true.

    Args:
        condition: the tree.
        data: what its references look into, as in `references.resolve`.
    """
    return _holds(condition, data, [MOST_VISITS])


def _holds(condition: Mapping[str, Any], data: Mapping[str, Any], visits: list[int]) -> bool:
    ((operator, operand),) = condition.items()
    if operator == "and":
        return all(_holds(inner, data, visits) for inner in operand)
    if operator == "or":
        return any(_holds(inner, data, visits) for inner in operand)
    if operator == "not":
        return not _holds(operand, data, visits)
    if operator == "exists":
        found = _value(operand, data, visits)
        return found is not _NOTHING and (parse(operand).singular or bool(found))
    left, right = (_value(inner, data, visits) for inner in operand)
    return _COMPARISONS[operator](left, right)


def _faults(condition: Any, path: str, depth: int, budget: list[int]) -> Iterator[tuple[str, str]]:
    budget[0] -= 1
    if not isinstance(condition, dict) or len(condition) != 1:
        yield path, "must be an object with one comparison"
        return
    if depth > DEEPEST:
        yield path, f"is nested more than {DEEPEST} levels deep"
        return
    if budget[0] < 0:
        return
    ((operator, operand),) = condition.items()
    here = f"{path}.{operator}"
    if operator in {"and", "or"}:
        if not isinstance(operand, list) or not operand:
            yield here, "must be a list of conditions"
            return
        for index, inner in enumerate(operand):
            yield from _faults(inner, f"{here}[{index}]", depth + 1, budget)
    elif operator == "not":
        yield from _faults(operand, here, depth + 1, budget)
    elif operator == "exists":
        if not is_reference(operand):
            yield here, "must be a reference"
    elif operator not in _COMPARISONS:
        known = ", ".join([*_COMPARISONS, "exists", "and", "or", "not"])
        yield here, f"is no comparison; there are {known}"
    elif not isinstance(operand, list) or len(operand) != 2:
        yield here, "must be a list of two operands"


def _value(operand: Any, data: Mapping[str, Any], visits: list[int]) -> Any:
    try:
        return resolve(operand, data, visits)
    except Missing:
        return _NOTHING


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does: true is not 1, but 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[name]) for name, value in left.items())
    return bool(left == right)


def _ordered(left: Any, right: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
    return numbers or (isinstance(left, str) and isinstance(right, str))


def _less(left: Any, right: Any) -> bool:
    return _ordered(left, right) and bool(left < right)


def _contains(container: Any, item: Any) -> bool:
    if isinstance(container, list):
        return any(_same(item, one) for one in container)
    return isinstance(container, str | dict) and isinstance(item, str) and item in container


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "equals": _same,
    "not_equals": lambda left, right: not _same(left, right),
    "greater": lambda left, right: _less(right, left),
    "less": _less,
    "at_least": lambda left, right: _less(right, left) or _same(left, right),
    "at_most": lambda left, right: _less(left, right) or _same(left, right),
    "in": lambda left, right: isinstance(right, list) and _contains(right, left),
    "contains": _contains,
}
