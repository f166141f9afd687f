"""Pages of lists that are filtered while they are read.

What is filtered out leaves no trace: no cursor names it, and none is handed out because of what comes behind alone.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from attrs import frozen

from orchestrator.models.common.page import Page
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.services.shared.cursors import read_cursor, write_cursor

T = TypeVar("T")
Place = tuple[int, str]
"""A place in an order: a moment in ms, and an id."""

SCAN_BOUND: Final = 2000
"""How many entries one page looks at; a filter that finds little hands out a cursor then."""


class Places(Protocol):
    """Reads the entries that follow a place."""

    async def __call__(self, *, before: Place | None, count: int) -> list[Place]: ...


@frozen
class Period:
    """A part of an order by moments: from `since` on, and before `until` (RFC 3339); None: it has no such end."""

    since: str | None = None
    until: str | None = None

    def within(self, places_of: Places) -> Places:
        """Return what reads the entries of this period alone."""
        oldest = None if self.since is None else from_timestamp(self.since)
        newest = None if self.until is None else (from_timestamp(self.until), "")

        async def read(*, before: Place | None, count: int) -> list[Place]:
            start = min((place for place in (before, newest) if place is not None), default=None)
            found = await places_of(before=start, count=count)
            return [place for place in found if oldest is None or place[0] >= oldest]

        return read


ALWAYS: Final = Period()


async def filtered_page(
    places_of: Places,
    load: Callable[[list[str]], Awaitable[dict[str, T]]],
    keep: Callable[[T], bool],
    *,
    cursor: str | None,
    limit: int,
    period: Period = ALWAYS,
) -> Page[T]:
    """Read a page of a list.

    Args:
        places_of: reads the order, from a place on.
        load: reads the records of ids; those that are gone are left out.
        keep: whether a record belongs to the list.
        cursor: where the page before ended; None: from the start.
        limit: how many items at most.
        period: what of the order is read at all.

    Raises:
        InvalidParameter: the cursor is none of this service.
    """
    places_of, place = period.within(places_of), read_cursor(cursor)
    items: list[T] = []
    end: Place | None = None
    scanned = 0
    while True:
        places = await places_of(before=place, count=limit + 1)
        records = await load([name for _, name in places])
        for at in places:
            if scanned >= SCAN_BOUND and place is not None and at[0] != place[0]:
                # Where the look ended may be another user's: the cursor names its moment alone, which is done with.
                return Page(items, write_cursor((place[0], "")))
            place, scanned = at, scanned + 1
            record = records.get(at[1])
            if record is None or not keep(record):
                continue
            if end is not None and len(items) == limit:
                return Page(items, write_cursor(end))
            items.append(record)
            end = at
        if len(places) <= limit:
            return Page(items)
