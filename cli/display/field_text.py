"""Values inside of a record for people: what is nested is laid out in few lines, and what is empty is left out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_SHORT: Final = 60
"""Characters up to which the parts of a value stand in one line."""


def is_empty(value: Any) -> bool:
    """Tell whether there is nothing to show of a value: it has no part that has a value."""
    if isinstance(value, Mapping):
        return all(map(is_empty, value.values()))
    if _is_list(value):
        return all(map(is_empty, value))
    return value is None


def field_text(value: Any) -> str:
    """Return a value of JSON as lines for people; JSON and YAML have it whole."""
    return value if isinstance(value, str) else "\n".join(_lines(value))


def _lines(value: Any) -> Iterator[str]:
    if (short := _in_one_line(value)) is not None:
        yield short
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if is_empty(part):
                continue
            if (short := _in_one_line(part)) is not None:
                yield f"{name}: {short}"
            else:
                yield f"{name}:"
                yield from (f"  {line}" for line in _lines(part))
    else:
        for part in value:
            first, *rest = _lines(part)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _in_one_line(value: Any) -> str | None:
    """Return a value that fits one line; None: it needs several."""
    if isinstance(value, Mapping):
        parts = {name: part for name, part in value.items() if not is_empty(part)}
        if any(isinstance(part, Mapping) or _is_list(part) for part in parts.values()):
            return None
        text = ", ".join(f"{name} {_scalar(part)}" for name, part in parts.items())
    elif _is_list(value):
        if any(isinstance(part, Mapping) or _is_list(part) for part in value):
            return None
        text = ", ".join(map(_scalar, value))
    else:
        return _scalar(value)
    return text if len(text) <= _SHORT else None


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        json.loads(value)
    except ValueError:
        if value and value == value.strip() and value.isprintable():
            return value
    # A text that is empty, has several lines or looks like a number would not be told from something else.
    return json.dumps(value, ensure_ascii=False)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
