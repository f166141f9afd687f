"""Reading what this service has written itself: quicker than the reader that tells every fault by its path.

A quick reader takes nothing that the strict reader (`codec.decode`) would refuse, and makes the same of what it takes.
Where it takes something not, it says nothing about why: that is what the strict reader is for.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import attrs
import msgspec
from msgspec import Meta
from msgspec.structs import astuple

T = TypeVar("T")


def quick_reader(kind: type[T]) -> Callable[[bytes], T | None]:
    """Return what reads a `kind`, an attrs class, from JSON; None where it would not."""
    struct, make = _mirror(kind)
    decoder = msgspec.json.Decoder(struct)

    def read(raw: bytes) -> T | None:
        try:
            found: T = make(decoder.decode(raw))
        except (msgspec.MsgspecError, RecursionError):
            return None
        return found

    return read


def _mirror(kind: type[Any]) -> tuple[type[msgspec.Struct], Callable[[Any], Any]]:
    """Return a struct with the fields of an attrs class and no others, and what makes one of the class out of it."""
    hints = get_type_hints(kind, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    inner: list[tuple[int, Callable[[Any], Any]]] = []
    for place, one in enumerate(attrs.fields(kind)):
        hint = hints[one.name]
        if attrs.has(hint):
            hint, make_inner = _mirror(hint)
            inner.append((place, make_inner))
        else:
            hint = _exact(hint)
        if one.default is attrs.NOTHING:
            fields.append((one.name, hint))
        elif isinstance(one.default, attrs.Factory):  # type: ignore[arg-type] # a class, which attrs types as a function
            fields.append((one.name, hint, msgspec.field(default_factory=one.default.factory)))
        else:
            fields.append((one.name, hint, one.default))
    struct = msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=True)

    def make(value: Any) -> Any:
        if not inner:
            return kind(*astuple(value))
        parts = list(astuple(value))
        for place, make_inner in inner:
            parts[place] = make_inner(parts[place])
        return kind(*parts)

    return struct, make


def _exact(hint: Any) -> Any:
    """Return a type whose patterns end where the text does: `$` would also match before a newline at the end."""
    if get_origin(hint) is Annotated:
        base, *notes = get_args(hint)
        exact = [
            Meta(pattern=f"{note.pattern.removesuffix('$')}\\Z")
            if isinstance(note, Meta) and note.pattern is not None and note.pattern.endswith("$")
            else note
            for note in notes
        ]
        return Annotated[base, *exact]
    if get_origin(hint) is not None and type(None) in get_args(hint):
        return _union([_exact(part) for part in get_args(hint)])
    return hint


def _union(parts: list[Any]) -> Any:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole | part
    return whole
