"""Routes of the load: processes and queues, for operators."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.load import Load, Node
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

load_routes = Routes()


@frozen
class LoadQuery:
    """What `orchestrator.load` takes."""

    top: Annotated[int, Meta(ge=0, le=200, description="How many tenants to name, those with most work.")] = 10


@frozen
class NodeList:
    """The processes of the service."""

    items: list[Node]


@load_routes.add(
    "GET",
    "orchestrator.load",
    access=Access.ADMIN,
    query=LoadQuery,
    answers="orchestrator.load",
    answer=Load,
    rate_class=RateClass.ADMIN,
)
async def load(call: RouteCall) -> RouteAnswer:
    """Sum up processes, queues and waits."""
    query: LoadQuery = call.query
    return RouteAnswer(await call.services.load.load(query.top))


@load_routes.add(
    "GET",
    "orchestrator.nodes",
    access=Access.ADMIN,
    answers="orchestrator.nodes",
    answer=NodeList,
    rate_class=RateClass.ADMIN,
)
async def nodes(call: RouteCall) -> RouteAnswer:
    """List the processes with what each has in hand."""
    return RouteAnswer(NodeList(await call.services.load.list_nodes()))
