"""Reading and writing models: one strict cattrs converter, and its faults told by path.

Strict means that nothing is coerced (`"5"` is no number), that unknown fields are refused, and that the limits which
a field's `msgspec.Meta` names hold. The same `Meta` makes the JSON Schema in the OpenAPI document.
"""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import orjson
from cattrs import AttributeValidationNote, ClassValidationError, IterableValidationNote
from cattrs.cols import list_structure_factory
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.preconf.orjson import OrjsonConverter, make_converter
from msgspec import Meta

from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault

T = TypeVar("T")

DEEPEST: Final = 64
"""So deeply may a client nest what it sends: wrapped on its way, it must still be writable (orjson ends at 254)."""
_NAMES: Final[dict[type, str]] = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _strict(wanted: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is wanted or (wanted is float and type(value) is int):
            return value
        raise ValueError(f"must be {_NAMES[wanted]}")

    return structure


def _enum(value: Any, kind: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(repr(member.value) for member in kind)}") from None


def _is_limited(kind: Any) -> bool:
    return get_origin(kind) is Annotated and any(isinstance(note, Meta) for note in kind.__metadata__)


def _limited(kind: Any, converter: OrjsonConverter) -> Callable[[Any, Any], Any]:
    """Make the hook of an `Annotated` type: structure the base, then hold every limit of its `Meta`."""
    base = get_args(kind)[0]
    metas = [note for note in kind.__metadata__ if isinstance(note, Meta)]
    inner = converter.get_structure_hook(base)

    def structure(value: Any, _: Any) -> Any:
        result = inner(value, base)
        if result is not None:
            for meta in metas:
                _check(result, meta)
        return result

    return structure


@lru_cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # A final `$` would also match before a newline at the end.
    whole = pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern
    return re.compile(whole, re.ASCII)


def _check(value: Any, meta: Meta) -> None:
    if meta.ge is not None and value < meta.ge:
        raise ValueError(f"must be at least {meta.ge}")
    if meta.le is not None and value > meta.le:
        raise ValueError(f"must be at most {meta.le}")
    if meta.min_length is not None and len(value) < meta.min_length:
        raise ValueError("must not be empty" if meta.min_length == 1 else f"must have at least {meta.min_length}")
    if meta.max_length is not None and len(value) > meta.max_length:
        raise ValueError(f"is too long: {len(value)}, and at most {meta.max_length} are taken")
    if meta.pattern is not None and not _pattern(meta.pattern).match(value):
        raise ValueError(f"must match {meta.pattern}")
    if meta.extra is not None and (fault := meta.extra["check"](value)) is not None:
        raise ValueError(fault)


def _is_list(kind: Any) -> bool:
    return bool(get_origin(kind) is list)


def _list(kind: Any, converter: OrjsonConverter) -> Callable[[Any, Any], Any]:
    inner = list_structure_factory(kind, converter)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise ValueError("must be a list")
        return inner(value, kind)

    return structure


def _build() -> OrjsonConverter:
    converter = make_converter(forbid_extra_keys=True, omit_if_default=False)
    for wanted in _NAMES:
        converter.register_structure_hook(wanted, _strict(wanted))
    # For StrEnum, not Enum: the more general class would lose against `str`.
    converter.register_structure_hook(StrEnum, _enum)
    converter.register_structure_hook_factory(_is_list, lambda kind: _list(kind, converter))
    converter.register_structure_hook_factory(_is_limited, lambda kind: _limited(kind, converter))
    # Limits say nothing about writing, and what is of any kind is plain data already: neither needs to be walked.
    converter.register_unstructure_hook_factory(
        _is_limited, lambda kind: converter.get_unstructure_hook(get_args(kind)[0])
    )
    converter.register_unstructure_hook_func(_is_plain, _as_it_is)
    return converter


def _is_plain(kind: Any) -> bool:
    return kind is Any or kind == dict[str, Any]


def _as_it_is(value: Any) -> Any:
    return value


_CONVERTER: Final = _build()


def structure(value: Any, kind: type[T], path: str = "$") -> T:
    """Make a `kind` out of plain JSON data.

    Args:
        value: dicts, lists, strings, numbers, booleans, None.
        kind: an attrs class.
        path: where `value` stands in what the client sent, such as `$.data`.

    Raises:
        InvalidBody: with every fault and its path.
    """
    if not isinstance(value, dict):
        raise InvalidBody("The message has a fault.", details=[FieldFault(path, "must be an object")])
    try:
        return _CONVERTER.structure(value, kind)
    except BaseValidationError as error:
        faults = list(_faults(error, path))
        raise InvalidBody(_sentence(faults), details=faults) from None


def unstructure(value: Any) -> Any:
    """Turn a model into plain JSON data."""
    return _CONVERTER.unstructure(value)


def encode(value: Any) -> bytes:
    """Write a model, or plain data, as JSON."""
    return orjson.dumps(value if type(value) is dict else _CONVERTER.unstructure(value), default=_CONVERTER.unstructure)


def decode(raw: bytes | str, kind: type[T], path: str = "$") -> T:
    """Read JSON as a `kind`.

    Raises:
        InvalidBody: it is not JSON, or does not fit; with every fault and its path.
    """
    return structure(parse_json(raw, path), kind, path)


def parse_json(raw: bytes | str, path: str = "$") -> Any:
    """Read JSON as plain data.

    Raises:
        InvalidBody: it is not JSON; the fault says in which line and column.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        fault = FieldFault(path, f"is not JSON: {error}")
        raise InvalidBody("The body is not JSON.", details=[fault]) from None


def parse_request(raw: bytes | str) -> Any:
    """Read what a client sent as plain data.

    Raises:
        InvalidBody: it is not JSON, or nested more than `DEEPEST` levels deep.
    """
    content = parse_json(raw)
    brackets = raw.count(b"{") + raw.count(b"[") if isinstance(raw, bytes) else raw.count("{") + raw.count("[")
    if brackets > DEEPEST and _is_deeper(content, DEEPEST):
        fault = FieldFault("$", f"is nested more than {DEEPEST} levels deep")
        raise InvalidBody("The body is nested too deeply.", details=[fault])
    return content


def _is_deeper(content: Any, levels: int) -> bool:
    layer = [content]
    for _ in range(levels + 1):
        containers = [value for value in layer if isinstance(value, dict | list)]
        if not containers:
            return False
        layer = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return True


def _sentence(faults: list[FieldFault]) -> str:
    first = f"{faults[0].path} {faults[0].message}"
    return f"{first}." if len(faults) == 1 else f"{first}; and {len(faults) - 1} more."


def _faults(error: BaseException, path: str) -> Iterator[FieldFault]:
    """Walk cattrs' tree of exceptions and yield a fault for every leaf."""
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from _faults(inner, path + _step(inner, error))
    elif isinstance(error, ForbiddenExtraKeysError):
        for name in sorted(error.extra_fields):
            yield FieldFault(f"{path}.{name}", "is not a field of this message")
    elif isinstance(error, KeyError):
        yield FieldFault(path, "required field is missing")
    else:
        yield FieldFault(path, _plain(error))


def _step(inner: BaseException, outer: BaseValidationError) -> str:
    for note in getattr(inner, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index}]" if isinstance(note.index, int) else f".{note.index}"
    if isinstance(outer, ClassValidationError) and isinstance(inner, KeyError):
        return f".{inner.args[0]}"
    return ""


def _plain(error: BaseException) -> str:
    if isinstance(error, TypeError | AttributeError):
        return "has the wrong type"
    return str(error)
