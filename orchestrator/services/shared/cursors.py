"""Cursors of lists: opaque outside, a place in an order inside."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from orchestrator.errors import InvalidParameter
from orchestrator.models.common.envelope import FieldFault

LAST_MOMENT: Final = 2**53
"""Greater numbers are no moments (ms), and Redis' scores don't hold them."""


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
        fault = FieldFault("$.query.cursor", "is not a cursor of this list")
        raise InvalidParameter("The cursor is not one that a list of this service gave.", details=[fault]) from None
