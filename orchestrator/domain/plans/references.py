"""References in a plan: strings that stand for a part of its input, or of an earlier call's result.

A string that begins with `$.` is a JSONPath (RFC 9535), and nothing else: `$.input.city`, `$.calls.a.result[0].id`.
A path that can only lead to one place stands for the value there, any other (wildcards, slices, filters, several names)
for the list of what it finds. `$$.` begins a plain string that is to begin with `$.`.

No path may cost more than it is worth: there are no descents (`..`) and no regular expressions, a filter compares only
what lies at one place below its element, and paths are followed for `MOST_VISITS` steps.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from attrs import frozen
from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError, JSONPathMatch
from jsonpath.filter import BaseExpression, FilterQuery, RelativeFilterQuery
from jsonpath.function_extensions import Length, Value
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import Filter, NameSelector

LONGEST: Final = 500
"""Characters of a path."""
MOST_OPERATORS: Final = 16
"""Signs of a path that make up filters, which are what takes long to understand."""
MOST_VISITS: Final = 5_000
"""Values that the paths of one call, or of one condition, may look at together: some 50 ms."""
_MARK: Final = "$."
_ESCAPE: Final = "$$."
_OPERATORS: Final = "?(!&|"
_MAY_REFER: Final = (str, dict, list)


class Missing(Exception):
    """A path leads to nothing in the data that is there."""

    def __init__(self, path: str, message: str = "leads to nothing") -> None:
        super().__init__(f"{path} {message}")
        self.path = path
        self.message = message


class TooCostly(Missing):
    """More values would have to be looked at than may be."""


@frozen
class Reference:
    """A path that was understood."""

    path: JSONPath
    calls: tuple[str, ...]
    """The calls whose results it looks into; none where it looks into the input."""
    singular: bool
    """Whether it stands for one value, not for a list."""
    needs: str | None
    """The call that must be done for it to stand for anything."""


class _Environment(JSONPathEnvironment):
    """RFC 9535 without the functions that match regular expressions."""

    def setup_function_extensions(self) -> None:
        self.function_extensions["length"] = Length()
        self.function_extensions["value"] = Value()


_ENVIRONMENT: Final = _Environment(strict=True)


class _Visit(JSONPathMatch):
    """A place on a path's way; every further one is charged, every element that a filter looks at as well."""

    __slots__ = ()

    def filter_context(self) -> Mapping[str, Any]:
        context = super().filter_context()
        context["visits"][0] -= 1
        if context["visits"][0] < 0:
            raise TooCostly(context["path"], f"leads beyond the {MOST_VISITS} values that may be looked at")
        return context


def is_reference(value: Any) -> bool:
    """Tell whether a value is a reference."""
    return isinstance(value, str) and value.startswith(_MARK)


@lru_cache(4096)
def parse(text: str) -> Reference:
    """Understand a path.

    Raises:
        ValueError: it is none, or one that is not taken; the message completes "<path> …".
    """
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if sum(map(text.count, _OPERATORS)) > MOST_OPERATORS:
        raise ValueError(f"has more than {MOST_OPERATORS} of the signs {_OPERATORS}")
    try:
        path = _ENVIRONMENT.compile(text)
    except (JSONPathError, RecursionError) as error:
        said = getattr(error, "message", "") or str(error) or "too deeply nested"
        raise ValueError(f"is no JSONPath: {said}") from None
    if not isinstance(path, JSONPath):
        raise ValueError("is no JSONPath: paths can't be joined")
    _refuse_costly(path)
    calls = _calls(path)
    singular = path.singular_query()
    needs = calls[0] if singular and calls and _names(path, 2) == ("result",) else None
    return Reference(path, calls, singular, needs)


def find(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return the references in a value, however deep, in the order in which they are written: (where, text)."""
    found: list[tuple[str, str]] = []
    _find(value, [path], found)
    return found


def _find(value: Any, steps: list[str], found: list[tuple[str, str]]) -> None:
    if isinstance(value, str):
        if value.startswith(_MARK):
            found.append(("".join(steps), value))
    elif isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, _MAY_REFER):
                steps.append(f".{name}")
                _find(inner, steps, found)
                steps.pop()
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, _MAY_REFER):
                steps.append(f"[{index}]")
                _find(inner, steps, found)
                steps.pop()


def resolve(value: Any, data: Mapping[str, Any], visits: list[int] | None = None) -> Any:
    """Return a value with its references replaced by what they stand for; what is returned must not be changed.

    Args:
        value: plain JSON data whose references have been parsed before.
        data: `input`, and `calls` with `{name: {"result": …}}` of those that are done.
        visits: how many values may still be looked at, counted down.

    Raises:
        Missing: a reference to one place finds nothing there.
        TooCostly: too much was looked at.
    """
    visits = [MOST_VISITS] if visits is None else visits
    if isinstance(value, str):
        if value.startswith(_MARK):
            return look_up(value, data, visits)
        return value[1:] if value.startswith(_ESCAPE) else value
    if isinstance(value, dict):
        return {name: resolve(inner, data, visits) for name, inner in value.items()}
    if isinstance(value, list):
        return [resolve(inner, data, visits) for inner in value]
    return value


def look_up(text: str, data: Mapping[str, Any], visits: list[int]) -> Any:
    """Return what one reference stands for; raises as `resolve` does."""
    reference = parse(text)
    context = {"visits": visits, "path": text}
    root = _Visit(filter_context=context, obj=data, parent=None, path="$", parts=(), root=cast("dict[str, Any]", data))
    nodes: Any = [root]
    for segment in reference.path.segments:
        nodes = segment.resolve(nodes)
    try:
        found = [node.obj for node in nodes]
    except JSONPathError as error:
        raise Missing(text, f"can't be followed: {error}") from None
    if not reference.singular:
        return found
    if not found:
        raise Missing(text)
    return found[0]


def _refuse_costly(path: JSONPath) -> None:
    for segment in path.segments:
        if not isinstance(segment, JSONPathChildSegment):
            raise ValueError("descends with '..', which is not taken")
        for selector in segment.selectors:
            if isinstance(selector, Filter):
                _refuse_costly_filter(selector.expression)


def _refuse_costly_filter(expression: BaseExpression) -> None:
    if isinstance(expression, FilterQuery):
        if not isinstance(expression, RelativeFilterQuery):
            raise ValueError("has a filter that looks elsewhere than into its element")
        if not expression.path.singular_query():
            raise ValueError("has a filter that looks at more than one place of its element")
    for inner in expression.children():
        _refuse_costly_filter(inner)


def _names(path: JSONPath, index: int) -> tuple[str, ...] | None:
    """Return the names that a path's segment selects; None where it selects by something else, or is none."""
    if index >= len(path.segments):
        return None
    selectors = path.segments[index].selectors
    names = tuple(selector.name for selector in selectors if isinstance(selector, NameSelector))
    return names if len(names) == len(selectors) else None


def _calls(path: JSONPath) -> tuple[str, ...]:
    match _names(path, 0):
        case ("input",):
            return ()
        case ("calls",):
            names, parts = _names(path, 1), _names(path, 2)
            if names is None or parts not in {("result",), ("error",)}:
                raise ValueError("must go on with a call's name and '.result' or '.error'")
            return names
        case _:
            raise ValueError("must begin with '$.input' or '$.calls'")
