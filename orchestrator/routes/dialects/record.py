"""Documented names of a route: one record, which drives both their translation and their description."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import field, frozen

Fields = dict[str, Any]
Query = dict[str, str]


@frozen
class Answered:
    """What a translation of an answer may look at."""

    id: str = ""
    """The id in the path."""
    by_offset: bool = False
    """Whether the request has said, by an offset or a page, where its list begins."""
    frontend: bool = False
    """Whether the request comes from a frontend: it says so, or has all that the guide for frontends asks for."""


@frozen
class RouteDialect:
    """The documented names of one route."""

    read_query: Callable[[Query], Query] | None = None
    """Gives query parameters the service's own names; raises InvalidParameter."""
    asks_query: type | None = None
    """Describes the documented query parameters."""
    body: Mapping[str, str] = field(factory=dict)
    """The service's own name of a field of the body by the documented one."""
    parts: Mapping[str, str] = field(factory=dict)
    """Where `read_body` puts a part of a documented field, in dots, by where it stands: for refusals."""
    read_body: Callable[[Fields, str], Fields] | None = None
    """Translates what is more than a name, given the fields and their path; raises InvalidBody."""
    read_message: Callable[[Fields], Fields | None] | None = None
    """Reads a message of a service in the place of the body; None: it is none; raises InvalidBody."""
    asks: type | None = None
    """Describes the documented fields of the body."""
    answer: Callable[[Fields, Answered], None] | None = None
    """Adds the documented fields to an answer; of a page it gets the whole, with `items`."""
    tells: type | None = None
    """Describes what it adds; of a page, to each item."""
    tells_page: type | None = None
    """Describes what it adds to a page itself."""
    pages: Callable[[Fields], None] | None = None
    """Adds the documented counts of pages to `meta.pagination`, where the request asked by an offset or a page."""


NO_NAMES: Final = RouteDialect()
"""Of a route whose names are its own."""
