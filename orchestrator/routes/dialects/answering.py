"""Translation of what goes out: the one place where documented names are added to answers."""

from typing import Any

from orchestrator.routes.dialects.record import Answered, RouteDialect


def add_names(dialect: RouteDialect, data: Any, pagination: dict[str, Any] | None, answered: Answered) -> None:
    """Add the documented names of a route to an answer.

    Args:
        dialect: the route's.
        data: plain data; what is no object has no names.
        pagination: where a list goes on; None: it is no list.
        answered: what the request was.
    """
    if dialect.answer is not None and isinstance(data, dict):
        dialect.answer(data, answered)
    if dialect.pages is not None and pagination is not None and answered.by_offset:
        dialect.pages(pagination)
