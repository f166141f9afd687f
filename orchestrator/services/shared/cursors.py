"""Cursors of lists: opaque outside, a place in an order inside."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from orchestrator.errors import InvalidParameter
from orchestrator.models.common.envelope import FieldFault


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
        return int(moment), name
    except ValueError:
        fault = FieldFault("$.query.cursor", "is not a cursor of this list")
        raise InvalidParameter("The cursor is not one that a list of this service gave.", details=[fault]) from None
