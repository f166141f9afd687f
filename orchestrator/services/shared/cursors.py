"""Cursors of lists: opaque outside, a place in an order inside."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from orchestrator.errors import InvalidParameter
from orchestrator.models.common.envelope import FieldFault

LAST_MOMENT: Final = 2**53
"""Greater numbers are no moments (ms), and Redis' scores don't hold them."""
LAST_NUMBER: Final = 2**64 - 1
"""The greatest number of an entry of a stream."""


def write_cursor(place: tuple[int, str]) -> str:
    """Write the place (moment in ms, id) that a page ended with."""
    moment, name = place
    return urlsafe_b64encode(f"{moment}:{name}".encode()).decode().rstrip("=")


def read_cursor(cursor: str | None) -> tuple[int, str] | None:
    """Read a cursor.

    Raises:
        InvalidParameter: it is none that this service made.
    """
    if cursor is None:
        return None
    try:
        moment, name = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(":")
        if not 0 <= (place := int(moment)) <= LAST_MOMENT:
            raise ValueError("no moment")
        return place, name
    except ValueError:
        raise foreign_cursor() from None


def read_number(written: str) -> int:
    """Read a whole number that stands in a cursor.

    Raises:
        InvalidParameter: it is none, or greater than `LAST_NUMBER`.
    """
    is_number = written.isascii() and written.isdecimal() and len(written) <= len(str(LAST_NUMBER))
    if not is_number or int(written) > LAST_NUMBER:
        raise foreign_cursor()
    return int(written)


def foreign_cursor() -> InvalidParameter:
    """Return the refusal of a cursor that the list has not given."""
    fault = FieldFault("$.query.cursor", "is not a cursor of this list")
    return InvalidParameter("The cursor is not one that a list of this service gave.", details=[fault])
