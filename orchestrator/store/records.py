"""Reading records: one that can't be read is told as damage of that record, and what was read beside it goes on."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, TypeVar

import structlog
from attrs import frozen

from orchestrator.codec import KeptDamaged
from orchestrator.errors import InvalidBody, TenantDamaged

T = TypeVar("T")
R = TypeVar("R")

_log = structlog.get_logger(__name__)

_FAULTS: Final = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, InvalidBody, KeptDamaged)
"""What reading fails with where a field is missing, no number, no JSON, no UTF-8, or of the wrong type."""
BEYOND: Final = float(2**53)
"""No number of ours is as large: floats no longer tell whole numbers apart."""
_REASON: Final = 200
"""So many characters of a reason are kept."""


class RecordDamaged(TenantDamaged):
    """A record can't be read: a field is missing or of the wrong type."""


@frozen
class _Reading:
    noun: str
    subject: str

    def __enter__(self) -> None:
        return

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, _FAULTS):
            raise RecordDamaged(f"The record of the {self.noun} {self.subject[:_REASON]} {_fault(error)}.") from error


def reading(noun: str, subject: str) -> _Reading:
    """Have what goes wrong in the block, where a record is read, raised as its damage.

    Args:
        noun: what the record is of: `task`.
        subject: its id.

    Raises:
        RecordDamaged: by the block, which says what is wrong.
    """
    return _Reading(noun, subject)


def readable(read: Callable[[R], T], replies: Iterable[R]) -> list[T]:
    """Read the records that are there and can be read; those that can't are logged, and left out.

    Args:
        read: reads one; raises TenantDamaged.
        replies: what Redis has said of each: a record, nothing where there is none, or the error that it refused with.
    """
    found: list[T] = []
    for reply in replies:
        try:
            if isinstance(reply, TenantDamaged):
                raise reply
            if reply:
                found.append(read(reply))
        except TenantDamaged as error:
            _log.error("record.damaged", error=error.reason)
    return found


def as_object(value: Any) -> dict[str, Any]:
    """Return a value of a record that has to be a JSON object.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, dict):
        raise TypeError("it is no JSON object")
    return value


def as_text(value: Any) -> str | None:
    """Return a value of a record that has to be a string where it is there; TypeError: it is something else."""
    if not isinstance(value, str | None):
        raise TypeError("it is no string")
    return value


def moment(raw: bytes | float | None) -> int:
    """Return a moment (ms), a score or a count as a whole number; 0 where it is none, a bound where it is beyond."""
    try:
        return int(max(-BEYOND, min(BEYOND, float(raw or 0))))
    except ValueError:
        return 0


def _fault(error: BaseException) -> str:
    if isinstance(error, KeyError):
        name = error.args[0]
        return f"has no field {name.decode(errors='replace') if isinstance(name, bytes) else name!s}"[:_REASON]
    if isinstance(error, UnicodeDecodeError):
        return "holds what is not UTF-8"
    return f"has a field of the wrong type: {error}"[:_REASON]
