"""Pages of lists."""

from typing import Generic, TypeVar

from attrs import frozen

T = TypeVar("T")


@frozen
class Page(Generic[T]):
    """A part of a list, and where it goes on."""

    items: list[T]
    next_cursor: str | None = None
    """Opaque; None on the last page."""
    total: int | None = None
    """How many items there are in all; None: they were not counted, or are too many for that."""
