"""Reading and writing models: one strict cattrs converter, and its faults told by path.

Strict means that nothing is coerced (`"5"` is no number), that unknown fields are refused, and that the limits which
a field's `msgspec.Meta` names hold. The same `Meta` makes the JSON Schema in the OpenAPI document.

What processes of the service keep in Redis for each other (`decode_kept`, `structure_kept`) is read alike, but unknown
fields are left out: while versions change, a process reads what one of the next version has written. What does not fit
there is damage of the tenant's, and no fault of a request.

Reading has a bounded cost, whatever was sent: a request with too many values is refused before it is parsed, lengths
are looked at before the items, and of a list or map with `MOST_FAULTS` wrong items the rest is not looked at.
"""

import json
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import orjson
from cattrs import IterableValidationNote
from cattrs.errors import BaseValidationError, IterableValidationError
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.preconf.orjson import OrjsonConverter, make_converter
from msgspec import Meta

from orchestrator.errors import InvalidBody, TenantDamaged
from orchestrator.message_faults import MOST_FAULTS, NotLookedAt, invalid, shortened
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.unset import without_unset
from orchestrator.models.tasks.task import TaskMetadata

K = TypeVar("K")
T = TypeVar("T")

DEEPEST: Final = 64
"""So deeply may a client nest what it sends: wrapped on its way, it must still be writable (orjson ends at 254)."""
MOST_VALUES: Final = 60_000
"""So many values may a request hold, counted over all levels: members of objects and items of lists."""
_NAMES: Final[dict[type, str]] = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


class KeptDamaged(TenantDamaged):
    """What was kept can't be read as what it should be; `details` has every fault and its path."""


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
    base = without_unset(get_args(kind)[0])
    metas = [note for note in kind.__metadata__ if isinstance(note, Meta)]
    inner = converter.get_structure_hook(base)

    longest = min((meta.max_length for meta in metas if meta.max_length is not None), default=None)

    def structure(value: Any, _: Any) -> Any:
        if longest is not None and isinstance(value, list | dict) and len(value) > longest:
            raise ValueError(_too_long(value, longest))
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
        raise ValueError(_too_long(value, meta.max_length))
    if meta.pattern is not None and not _pattern(meta.pattern).match(value):
        raise ValueError(f"must match {meta.pattern}")
    if meta.extra is not None and "check" in meta.extra and (fault := meta.extra["check"](value)) is not None:
        raise ValueError(fault)


def _too_long(value: Any, longest: int) -> str:
    return f"is too long: {len(value)}, and at most {longest} are taken"


def _is_list(kind: Any) -> bool:
    return bool(get_origin(kind) is list)


def _list(kind: Any, converter: OrjsonConverter) -> Callable[[Any, Any], Any]:
    (item,) = get_args(kind)
    inner = converter.get_structure_hook(item)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise ValueError("must be a list")
        return [one for _, one in _items(enumerate(value), len(value), inner, item, kind)]

    return structure


def _is_map(kind: Any) -> bool:
    return get_origin(kind) is dict and kind != dict[str, Any]


def _map(kind: Any, converter: OrjsonConverter) -> Callable[[Any, Any], Any]:
    _, item = get_args(kind)
    inner = converter.get_structure_hook(item)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise ValueError("must be an object")
        return dict(_items(value.items(), len(value), inner, item, kind))

    return structure


def _items(
    pairs: Iterable[tuple[K, Any]], count: int, inner: Callable[[Any, Any], Any], item: Any, kind: Any
) -> list[tuple[K, Any]]:
    """Structure what a list or a map holds, until `MOST_FAULTS` of it are wrong."""
    made: list[tuple[K, Any]] = []
    errors: list[Exception] = []
    for place, (name, value) in enumerate(pairs):
        try:
            made.append((name, inner(value, item)))
        except Exception as error:  # noqa: BLE001 # cattrs' own way: every fault of an item is told with its place
            error.add_note(IterableValidationNote("", shortened(name), item))
            errors.append(error)
            if len(errors) == MOST_FAULTS and place + 1 < count:
                errors.append(NotLookedAt(count - place - 1))
                break
    if errors:
        raise IterableValidationError("", errors, kind)
    return made


def _build(*, strict: bool) -> OrjsonConverter:
    converter = make_converter(forbid_extra_keys=strict, omit_if_default=False)
    for wanted in _NAMES:
        converter.register_structure_hook(wanted, _strict(wanted))
    # For StrEnum, not Enum: the more general class would lose against `str`.
    converter.register_structure_hook(StrEnum, _enum)
    converter.register_structure_hook_factory(_is_list, lambda kind: _list(kind, converter))
    converter.register_structure_hook_factory(_is_map, lambda kind: _map(kind, converter))
    converter.register_structure_hook_factory(_is_limited, lambda kind: _limited(kind, converter))
    # Limits say nothing about writing, and what is of any kind is plain data already: neither needs to be walked.
    converter.register_unstructure_hook_factory(
        _is_limited, lambda kind: converter.get_unstructure_hook(get_args(kind)[0])
    )
    converter.register_unstructure_hook_func(lambda kind: kind in (Any, dict[str, Any]), lambda value: value)
    # Processes of the version before do not know the field: it is written where there is something in it.
    metadata = make_dict_unstructure_fn(TaskMetadata, converter, carried=override(omit_if_default=True))
    converter.register_unstructure_hook(TaskMetadata, metadata)
    return converter


_CONVERTER: Final = _build(strict=True)
_OF_RECORDS: Final = _build(strict=False)
"""Leaves out the fields that it does not know."""


def structure(value: Any, kind: type[T], path: str = "$") -> T:
    """Make a `kind` out of plain JSON data.

    Args:
        value: dicts, lists, strings, numbers, booleans, None.
        kind: an attrs class.
        path: where `value` stands in what the client sent, such as `$.data`.

    Raises:
        InvalidBody: with every fault and its path.
    """
    return _structure(_CONVERTER, value, kind, path)


def structure_kept(value: Any, kind: type[T]) -> T:
    """Make a `kind` out of what a process of the service has kept, of this version or another one.

    Fields that this version does not know are left out; all else is held as `structure` does.

    Raises:
        KeptDamaged
    """
    try:
        return _structure(_OF_RECORDS, value, kind, "$")
    except InvalidBody as fault:
        raise KeptDamaged(fault.message, details=fault.details) from None


def _structure(converter: OrjsonConverter, value: Any, kind: type[T], path: str) -> T:
    if not isinstance(value, dict):
        raise InvalidBody("The message has a fault.", details=[FieldFault(path, "must be an object")])
    try:
        return converter.structure(value, kind)
    except BaseValidationError as error:
        raise invalid(error, path) from None


def unstructure(value: Any) -> Any:
    """Turn a model into plain JSON data."""
    return _CONVERTER.unstructure(value)


def encode(value: Any) -> bytes:
    """Write a model, or plain data, as JSON."""
    plain = value if type(value) is dict else _CONVERTER.unstructure(value)
    try:
        return orjson.dumps(plain, default=_CONVERTER.unstructure)
    except TypeError:
        # orjson writes no number beyond 64 bits and no lone surrogate. A damaged record may hold them, and is shown so.
        return json.dumps(plain, default=_CONVERTER.unstructure).encode()


def decode(raw: bytes | str, kind: type[T], path: str = "$") -> T:
    """Read JSON as a `kind`.

    Raises:
        InvalidBody: it is not JSON, or does not fit; with every fault and its path.
    """
    return structure(parse_json(raw, path), kind, path)


def decode_kept(raw: bytes | str, kind: type[T]) -> T:
    """Read JSON that a process of the service has kept, as `structure_kept` does.

    Raises:
        KeptDamaged: it is not JSON, or does not fit.
    """
    try:
        kept = parse_json(raw)
    except InvalidBody as fault:
        raise KeptDamaged(fault.message, details=fault.details) from None
    return structure_kept(kept, kind)


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
        InvalidBody: it is not JSON, has more than `MOST_VALUES` values, or is nested more than `DEEPEST` levels deep.
    """
    written = raw if isinstance(raw, bytes) else raw.encode(errors="surrogatepass")
    brackets = written.count(b"{") + written.count(b"[")
    if brackets + written.count(b",") > MOST_VALUES and _values(written) > MOST_VALUES:
        fault = FieldFault("$", f"has more than {MOST_VALUES} values")
        raise InvalidBody("The body has too many values.", details=[fault])
    content = parse_json(raw)
    if brackets > DEEPEST and _is_deeper(content, DEEPEST):
        fault = FieldFault("$", f"is nested more than {DEEPEST} levels deep")
        raise InvalidBody("The body is nested too deeply.", details=[fault])
    return content


def _values(raw: bytes) -> int:
    """Count the values of a JSON text without reading it; a text that is not JSON has some number or other."""
    bare = b"".join(raw.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])
    return bare.count(b",") + bare.count(b"{") + bare.count(b"[")


def _is_deeper(content: Any, levels: int) -> bool:
    layer = [content]
    for _ in range(levels + 1):
        containers = [value for value in layer if isinstance(value, dict | list)]
        if not containers:
            return False
        layer = [inner for outer in containers for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return True
