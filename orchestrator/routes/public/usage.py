"""The route of usage."""

from typing import Annotated, Any

from attrs import field, make_class
from msgspec import Meta

from orchestrator.errors import PermissionMissing
from orchestrator.models.common.limits import RateClass
from orchestrator.models.gateway.usage import UsageGroup, UsageReport
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes

usage_routes = Routes()

_FIRST: Any = Annotated[
    str | None, Meta(max_length=10, description="The first day (UTC), such as 2026-01-01; 29 days before the last.")
]
_LAST: Any = Annotated[str | None, Meta(max_length=10, description="The last day; today.")]
_GROUP: Any = Annotated[UsageGroup, Meta(description="What the items are.")]

# One of the parameters has the name of a keyword of Python, so the class can't be written as others are.
UsageQuery: Any = make_class(
    "UsageQuery",
    {
        "from": field(default=None, type=_FIRST, alias="first"),
        "to": field(default=None, type=_LAST),
        "group_by": field(default=UsageGroup.MODEL, type=_GROUP),
    },
    frozen=True,
    repr=False,
    eq=False,
)
UsageQuery.__doc__ = "What `usage.get` takes."
UsageQuery.__module__ = __name__


@usage_routes.add(
    "GET",
    "usage.get",
    permission="usage:read",
    query=UsageQuery,
    answers="usage.report",
    answer=UsageReport,
    errors=(PermissionMissing,),
    rate_class=RateClass.READ,
)
async def get(call: RouteCall) -> RouteAnswer:
    """Add up what was spent on language models, retrieval and embeddings."""
    query = call.query
    return RouteAnswer(await call.services.usage.get(call.ctx, getattr(query, "from"), query.to, query.group_by))
