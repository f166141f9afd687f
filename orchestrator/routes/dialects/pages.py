"""Pages of the documents: lists by `page` and `per_page`, which stand for an offset and a limit, and their counts."""

from typing import Annotated, Any, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import OFFSET_MAX, PAGE_LIMIT, PAGE_LIMIT_MAX
from orchestrator.routes.dialects.reading import parameter_fault
from orchestrator.routes.dialects.record import Query

_PAGE_MOST: Final = 10_000


@frozen
class PageNames:
    """What a list takes under documented names."""

    page: Annotated[int | None, Meta(ge=1, le=_PAGE_MOST, description="Which page, from the newest; 1 is the first.")]
    per_page: Annotated[
        int | None, Meta(ge=1, le=PAGE_LIMIT_MAX, description="Another name for `limit`, where pages are asked for.")
    ]


def read_pages(query: Query, places: frozenset[str]) -> Query:
    """Return query parameters with an offset and a limit in the place of a page.

    Args:
        query: as it was sent.
        places: other parameters that say where the list begins.

    Raises:
        InvalidParameter: the page is none, or something else says where the list goes on.
    """
    if "page" not in query and "per_page" not in query:
        return query
    named = "page" if "page" in query else "per_page"
    if "per_page" in query and "limit" in query:
        raise parameter_fault("per_page", "is another name for 'limit', which is given too")
    if beside := sorted(query.keys() & places):
        raise parameter_fault(named, f"does not go with '{beside[0]}'")
    page = _number(query, "page", 1, _PAGE_MOST)
    limit = _number(query, "per_page" if "per_page" in query else "limit", PAGE_LIMIT, PAGE_LIMIT_MAX)
    offset = (page - 1) * limit
    if offset > OFFSET_MAX:
        raise parameter_fault("page", f"must be at most {OFFSET_MAX // limit + 1} where a page has {limit}")
    own = {name: value for name, value in query.items() if name not in {"page", "per_page"}}
    return {**own, "limit": str(limit), "offset": str(offset)}


def _number(query: Query, name: str, default: int, most: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    if not value.isdecimal() or len(value) > 9 or not 1 <= int(value) <= most:
        raise parameter_fault(name, f"must be a whole number, 1 to {most}")
    return int(value)


def add_pages(pagination: dict[str, Any]) -> None:
    """Add the counts of pages to what says where a list goes on."""
    limit, offset, total = (pagination[name] for name in ("limit", "offset", "total"))
    pagination["page"] = offset // limit + 1
    pagination["per_page"] = limit
    pagination["total_items"] = total
    pagination["total_pages"] = None if total is None else -(-total // limit)
