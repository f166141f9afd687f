"""What was read in Redis and can't be understood: dropped, counted, and logged without its content."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import structlog
import trio

from orchestrator.errors import InvalidBody, TenantDamaged

T = TypeVar("T")

FAULTS: Final = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, InvalidBody, TenantDamaged)
"""What readers raise where their input is not what they expect."""
LOGGED_EVERY: Final = 60.0
"""Seconds between two lines of the log about the same source."""
_log = structlog.get_logger()


class UnreadableInput:
    """Drops what can't be read.

    Args:
        counted: told of the source of each.
    """

    def __init__(self, counted: Callable[[str], None] = lambda _: None) -> None:
        self._counted = counted
        self._silent_until: dict[str, float] = {}
        self._dropped: dict[str, int] = {}

    def read(self, source: str, reader: Callable[[bytes], T], raw: bytes) -> T | None:
        """Read an input; None where it can't be, which is counted and logged."""
        try:
            return reader(raw)
        except FAULTS as error:
            self.drop(source, raw, error)
            return None

    def read_all(self, source: str, reader: Callable[[bytes], T], raws: Iterable[bytes]) -> list[T]:
        """Read several inputs; those that can't be read are left out."""
        found = (self.read(source, reader, raw) for raw in raws)
        return [one for one in found if one is not None]

    def drop(self, source: str, raw: bytes, error: Exception) -> None:
        """Count an input that could not be read; the log has no more than its size and the kind of fault.

        Args:
            source: what it came from: one of a few names.
            raw: the input.
            error: what its reader said.
        """
        self._counted(source)
        self._dropped[source] = self._dropped.get(source, 0) + 1
        now = trio.current_time()
        if now >= self._silent_until.get(source, now):
            self._silent_until[source] = now + LOGGED_EVERY
            count = self._dropped.pop(source)
            _log.error("input.unreadable", source=source, bytes=len(raw), fault=type(error).__name__, dropped=count)
