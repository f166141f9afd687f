"""Identifiers: how they are made, and what an acceptable one looks like."""

import re
from typing import Annotated, Final
from uuid import UUID, uuid5

from msgspec import Meta
from uuid_utils import uuid7

LONGEST_ID: Final = 64
ID_PATTERN: Final = rf"^[A-Za-z0-9_.-]{{1,{LONGEST_ID}}}$"
_ID: Final = re.compile(ID_PATTERN, re.ASCII)

IDEMPOTENCY_KEY_PATTERN: Final = r"^[\x20-\x7e]{1,255}$"
_IDEMPOTENCY_KEY: Final = re.compile(IDEMPOTENCY_KEY_PATTERN, re.ASCII)

_DERIVED: Final = UUID("6f2d9c1e-2c2e-5a57-9d63-0f4f6b1f9e55")
"""The namespace of derived identifiers."""

Id = Annotated[str, Meta(pattern=ID_PATTERN, description="An identifier: letters, digits, `_`, `.` and `-`.")]


def new_id() -> str:
    """Make an identifier that sorts by the moment it was made (UUIDv7, RFC 9562)."""
    return str(uuid7())


def new_epoch() -> str:
    """Name the life of an event log, by eight random digits."""
    return new_id()[-8:]


def derived_id(*parts: str) -> str:
    """Make the identifier that always belongs to these others (UUIDv5, RFC 9562), so it need not be stored."""
    return str(uuid5(_DERIVED, "\n".join(parts)))


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
