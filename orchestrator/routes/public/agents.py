"""Routes of agents."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.errors import (
    IdempotencyKeyReused,
    NotFound,
    ServiceUnreachable,
    SessionBusy,
    SessionClosed,
    Unprocessable,
)
from orchestrator.models.agents.agent_views import (
    AgentAssign,
    AgentDetails,
    AgentFeedback,
    AgentSummary,
    AgentUpdated,
    FeedbackTaken,
    Forgotten,
    Version,
)
from orchestrator.models.common.limits import RateClass
from orchestrator.models.sessions.session import Session
from orchestrator.routes.http.paging import PageQuery, page_answer
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

agent_routes = Routes()


@frozen
class AgentQuery:
    """What `agent.get` takes."""

    version: Annotated[Version | None, Meta(description="A version of the agent; default: the latest.")] = None


@agent_routes.add(
    "GET",
    "agent.list",
    permission="agent:read",
    query=PageQuery,
    answers="agent.list",
    answer=AgentSummary,
    paged=True,
    errors=(ServiceUnreachable,),
    rate_class=RateClass.READ,
    cached=True,
)
async def list_agents(call: RouteCall) -> RouteAnswer:
    """List the tenant's agents, by their ids."""
    query: PageQuery = call.query
    return page_answer(await call.services.agents.list(call.ctx, cursor=query.cursor, limit=query.limit), query.limit)


@agent_routes.add(
    "GET",
    "agent.get",
    permission="agent:read",
    id_name="agent_id",
    query=AgentQuery,
    answers="agent.details",
    answer=AgentDetails,
    errors=(NotFound, ServiceUnreachable),
    rate_class=RateClass.READ,
    cached=True,
)
async def get(call: RouteCall) -> RouteAnswer:
    """Show an agent, in its latest version or in another."""
    query: AgentQuery = call.query
    return RouteAnswer(await call.services.agents.get(call.ctx, call.id, query.version))


@agent_routes.add(
    "PUT",
    "agent.assign",
    permission="agent:write",
    or_permissions=("session:write",),
    id_name="session_id",
    body=AgentAssign,
    answers="agent.assigned",
    answer=Session,
    errors=(NotFound, SessionClosed, SessionBusy),
    rate_class=RateClass.WRITE,
)
async def assign(call: RouteCall) -> RouteAnswer:
    """Give a session another agent, from its next turn on."""
    return RouteAnswer(await call.services.sessions.assign(call.ctx, call.id, call.body))


@agent_routes.add(
    "POST",
    "agent.feedback",
    permission="agent:write",
    or_permissions=("agent:read",),
    body=AgentFeedback,
    answers="agent.feedback_taken",
    answer=FeedbackTaken,
    idempotent=True,
    errors=(NotFound, Unprocessable, IdempotencyKeyReused, ServiceUnreachable),
    rate_class=RateClass.WRITE,
)
async def feedback(call: RouteCall) -> RouteAnswer:
    """Say what you think of an answer, or of a session."""
    taken, replayed = await call.services.agents.feedback(call.ctx, call.body)
    return RouteAnswer(taken, replayed=replayed)


@agent_routes.add(
    "POST",
    "agent.updated",
    access=Access.INTERNAL,
    body=AgentUpdated,
    answers="agent.forgotten",
    answer=Forgotten,
    rate_class=RateClass.WRITE,
)
async def updated(call: RouteCall) -> RouteAnswer:
    """Have every process look an agent up anew."""
    return RouteAnswer(await call.services.agent_updates.take(call.ctx, call.body))
