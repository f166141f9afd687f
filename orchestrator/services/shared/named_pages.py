"""Pages of what another service lists as a whole, in the order of its names."""

from collections.abc import Mapping
from typing import TypeVar

from orchestrator.models.common.page import Page
from orchestrator.services.shared.cursors import read_cursor, write_cursor

T = TypeVar("T")


def page_by_name(items: Mapping[str, T], *, cursor: str | None, limit: int) -> Page[T]:
    """Return a page of items by name; what is added or taken away meanwhile moves no other.

    Args:
        items: all there are.
        cursor: where the page before ended; None: from the start.
        limit: how many at most.

    Raises:
        InvalidParameter: the cursor is none of this service.
    """
    place = read_cursor(cursor)
    names = sorted(name for name in items if place is None or name > place[1])
    following = write_cursor((0, names[limit - 1])) if len(names) > limit else None
    return Page([items[name] for name in names[:limit]], following)
