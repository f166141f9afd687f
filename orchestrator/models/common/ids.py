"""Identifiers: how they are made, and what an acceptable one looks like."""

import re
from typing import Annotated, Final

from msgspec import Meta
from uuid_utils import uuid7

ID_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,64}$"
_ID: Final = re.compile(ID_PATTERN, re.ASCII)

IDEMPOTENCY_KEY_PATTERN: Final = r"^[\x20-\x7e]{1,255}$"
_IDEMPOTENCY_KEY: Final = re.compile(IDEMPOTENCY_KEY_PATTERN, re.ASCII)

Id = Annotated[str, Meta(pattern=ID_PATTERN, description="An identifier: letters, digits, `_`, `.` and `-`.")]


def new_id() -> str:
    """Make an identifier that sorts by the moment it was made (UUIDv7, RFC 9562)."""
    return str(uuid7())


def is_id(text: str) -> bool:
    """Tell whether `text` may be used as an identifier.

    Neither a colon nor a brace passes, so no identifier can forge a Redis key or a hash tag.
    """
    return _ID.fullmatch(text) is not None


def read_id(raw: bytes) -> str:
    """Read an identifier.

    Raises:
        ValueError: it is none.
    """
    text = raw.decode()
    if not is_id(text):
        raise ValueError("no identifier")
    return text


def is_idempotency_key(text: str) -> bool:
    """Tell whether `text` may be an idempotency key: printable ASCII; it ends the Redis key that has it."""
    return _IDEMPOTENCY_KEY.fullmatch(text) is not None
