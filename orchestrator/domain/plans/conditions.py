"""Conditions of calls (`when`): comparison trees in JSON, compared by rule and never evaluated as code.

A node is an object with one member:

- `{"equals": [a, b]}`, `not_equals`, `greater`, `less`, `at_least`, `at_most`: compare two operands;
- `{"in": [a, list]}`, `{"contains": [list | string | object, a]}`: look for a value, a part of a string, a member;
- `{"exists": "$.…"}`: whether a reference leads to something (a list of findings: whether it is not empty);
- `{"and": [node, …]}`, `{"or": [node, …]}`, `{"not": node}`.

Operands are plain values or references. They compare as in the filters of RFC 9535 (section 2.3.5.2.2): what is not
there equals only what is not there either; numbers are ordered with numbers and strings with strings, anything else is
neither greater nor less; `true` is not `1`. So a comparison is true or false whatever it compares; only a condition
that would have to look at too many values is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from attrs import define, field

from orchestrator.domain.plans.references import MOST_VISITS, Missing, TooCostly, is_reference, parse, resolve

DEEPEST: Final = 16
MOST_NODES: Final = 100
MOST_COMPARED: Final = 50_000
"""Values that the comparisons of one condition may look at together: some 20 ms."""
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

    Raises:
        TooCostly: its references or its comparisons lead through too many values.
    """
    return _Evaluation(data).holds(condition)


@define
class _Evaluation:
    """One look at a condition, which every value that is looked at is charged to."""

    data: Mapping[str, Any]
    visits: list[int] = field(factory=lambda: [MOST_VISITS])
    compared: int = 0

    def holds(self, condition: Mapping[str, Any]) -> bool:
        ((operator, operand),) = condition.items()
        if operator == "and":
            return all(map(self.holds, operand))
        if operator == "or":
            return any(map(self.holds, operand))
        if operator == "not":
            return not self.holds(operand)
        if operator == "exists":
            found = self._value(operand)
            return found is not _NOTHING and (parse(operand).singular or bool(found))
        left, right = map(self._value, operand)
        return _COMPARISONS[operator](self, left, right)

    def _value(self, operand: Any) -> Any:
        try:
            return resolve(operand, self.data, self.visits)
        except TooCostly:
            raise
        except Missing:
            return _NOTHING

    def _charge(self, values: int) -> None:
        self.compared += values
        if self.compared > MOST_COMPARED:
            raise TooCostly("the condition", f"compares more than {MOST_COMPARED} values")

    def same(self, left: Any, right: Any) -> bool:
        """Compare as JSON does: true is not 1, but 1 is 1.0."""
        if isinstance(left, bool) or isinstance(right, bool):
            return left is right
        if isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            self._charge(len(left))
            return all(map(self.same, left, right))
        if isinstance(left, dict) and isinstance(right, dict):
            if left.keys() != right.keys():
                return False
            self._charge(len(left))
            return all(self.same(value, right[name]) for name, value in left.items())
        return bool(left == right)

    def differ(self, left: Any, right: Any) -> bool:
        return not self.same(left, right)

    def less(self, left: Any, right: Any) -> bool:
        return _ordered(left, right) and bool(left < right)

    def greater(self, left: Any, right: Any) -> bool:
        return self.less(right, left)

    def at_least(self, left: Any, right: Any) -> bool:
        return self.less(right, left) or self.same(left, right)

    def at_most(self, left: Any, right: Any) -> bool:
        return self.less(left, right) or self.same(left, right)

    def contains(self, container: Any, item: Any) -> bool:
        if isinstance(container, list):
            self._charge(len(container))
            return any(self.same(item, one) for one in container)
        return isinstance(container, str | dict) and isinstance(item, str) and item in container

    def contained(self, item: Any, container: Any) -> bool:
        return isinstance(container, list) and self.contains(container, item)


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


def _ordered(left: Any, right: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
    return numbers or (isinstance(left, str) and isinstance(right, str))


_COMPARISONS: Final[dict[str, Callable[[_Evaluation, Any, Any], bool]]] = {
    "equals": _Evaluation.same,
    "not_equals": _Evaluation.differ,
    "greater": _Evaluation.greater,
    "less": _Evaluation.less,
    "at_least": _Evaluation.at_least,
    "at_most": _Evaluation.at_most,
    "in": _Evaluation.contained,
    "contains": _Evaluation.contains,
}
