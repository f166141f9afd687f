"""Routes of the load: processes and queues, for operators."""

from typing import Annotated, Final

from attrs import frozen
from msgspec import Meta

from orchestrator.domain.load import load_seen_by, node_seen_by
from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.load import Load, Node
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes
from orchestrator.services.operations.load import NOTICES

load_routes = Routes()
SYSTEM_READ: Final = "system:read"


@frozen
class LoadQuery:
    """What `orchestrator.load` takes."""

    top: Annotated[int, Meta(ge=0, le=200, description="How many tenants to name, those with most work.")] = 10
    notices: Annotated[int, Meta(ge=0, le=1000, description="How many notices to show, the last ones.")] = NOTICES


@frozen
class NodeList:
    """The processes of the service."""

    items: list[Node]


@load_routes.add(
    "GET",
    "orchestrator.load",
    access=Access.ADMIN,
    holder_permission=SYSTEM_READ,
    query=LoadQuery,
    answers="orchestrator.load",
    answer=Load,
    rate_class=RateClass.ADMIN,
)
async def load(call: RouteCall) -> RouteAnswer:
    """Sum up processes, queues and waits; the holder of a token sees no other tenant in them."""
    query: LoadQuery = call.query
    whole = await call.services.load.load(query.top, query.notices)
    return RouteAnswer(load_seen_by(call.ctx.tenant_id, whole) if call.by_token else whole)


@load_routes.add(
    "GET",
    "orchestrator.nodes",
    access=Access.ADMIN,
    holder_permission=SYSTEM_READ,
    answers="orchestrator.nodes",
    answer=NodeList,
    rate_class=RateClass.ADMIN,
)
async def nodes(call: RouteCall) -> RouteAnswer:
    """List the processes with what each has in hand; the holder of a token sees no other tenant in them."""
    nodes = await call.services.load.list_nodes()
    return RouteAnswer(NodeList([node_seen_by(call.ctx.tenant_id, node) for node in nodes] if call.by_token else nodes))
