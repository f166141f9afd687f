"""Which calls of the gateway may share an answer, and when two are the same."""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from attrs import frozen

from orchestrator.models.gateway.usage import UsageKind

ABOUT_THE_ASKER: Final = frozenset({"tenant_id", "correlation_id", "user_id", "session_id", "metadata", "cache"})
"""Fields that say who asks, not what: they make no difference to an answer."""
_LARGEST_WHOLE: Final = 2**53
"""Beyond this, whole numbers have no exact float."""


def may_share(kind: UsageKind, body: Mapping[str, Any]) -> bool:
    """Tell whether the answer may come from the cache, and go there.

    The body's own `cache` decides. Without it streams, and what is drawn by chance (a temperature above 0), are asked
    anew.
    """
    asked = body.get("cache")
    if isinstance(asked, bool):
        return asked
    if kind is not UsageKind.GENERATE:
        return True
    temperature = body.get("temperature")
    drawn = isinstance(temperature, int | float) and temperature > 0
    return body.get("stream") is not True and not drawn


def request_digest(body: Mapping[str, Any]) -> str:
    """Return the same for all requests that must be answered alike, whatever the order of their fields."""
    return _digest({name: value for name, value in body.items() if name not in ABOUT_THE_ASKER})


def text_digests(body: Mapping[str, Any], texts: Sequence[str]) -> list[str]:
    """Return a digest for each text of an embedding request: of the text, and of what else decides its vector."""
    rest = {name: value for name, value in body.items() if name not in ABOUT_THE_ASKER and name != "texts"}
    return [_digest([rest, text]) for text in texts]


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


@frozen
class Vector:
    """A text's embedding, and the model that made it."""

    model: str
    numbers: list[float]


def pack_vector(vector: Vector) -> bytes | None:
    """Write a vector so that the very same numbers are read again; None where that can't be."""
    if "\0" in vector.model or not all(type(number) is float or _is_exact(number) for number in vector.numbers):
        return None
    return vector.model.encode() + b"\0" + struct.pack(f"<{len(vector.numbers)}d", *vector.numbers)


def unpack_vector(packed: bytes) -> Vector:
    """Read what `pack_vector` wrote; ValueError: it is something else."""
    model, separator, numbers = packed.partition(b"\0")
    if not separator or len(numbers) % 8:
        raise ValueError("it is no vector")
    return Vector(model.decode(), list(struct.unpack(f"<{len(numbers) // 8}d", numbers)))


def _is_exact(number: object) -> bool:
    return type(number) is int and abs(number) <= _LARGEST_WHOLE
