"""Moments: milliseconds since the Unix epoch inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime
from functools import lru_cache
from time import time_ns
from typing import Annotated

from msgspec import Meta

Timestamp = Annotated[
    str,
    Meta(
        description="A moment in UTC, RFC 3339 with milliseconds.",
        examples=["2026-01-01T00:00:00.000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]


def moment_fault(text: str) -> str | None:
    """Say what is wrong with a moment that a client names; None if it is fine."""
    try:
        # In UTC it may lie beyond the last year that can be written.
        to_timestamp(from_timestamp(text))
    except (ValueError, OverflowError):
        return "must be a moment with an offset from UTC, such as 2026-01-01T08:00:00Z (RFC 3339)"
    return None


Moment = Annotated[
    str | None,
    Meta(
        max_length=40,
        description="When it begins, at most a year ahead (RFC 3339); default: at once.",
        examples=["2026-01-01T08:00:00Z"],
        extra_json_schema={"format": "date-time"},
        extra={"check": moment_fault},
    ),
]


def now_ms() -> int:
    """Return the present moment in milliseconds since the Unix epoch."""
    return time_ns() // 1_000_000


def to_timestamp(moment_ms: int) -> str:
    """Write a moment (milliseconds since the Unix epoch) as `2026-01-01T00:00:00.000Z`."""
    seconds, milliseconds = divmod(moment_ms, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def from_timestamp(text: str) -> int:
    """Read an RFC 3339 moment as milliseconds since the Unix epoch.

    Raises:
        ValueError: `text` is not such a moment, or names no offset from UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no offset from UTC")
    return round(moment.timestamp() * 1000)
