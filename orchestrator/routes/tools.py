"""Routes of tools."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.errors import NotFound, ServiceUnreachable, Unprocessable
from orchestrator.models.agent_views import Forgotten, ToolUpdated
from orchestrator.models.ids import Id
from orchestrator.models.tool import Tool, ToolRan, ToolRun
from orchestrator.routes.paging import Cursor, Limit, page_answer
from orchestrator.routes.registry import Access, Answer, Call, Routes

tool_routes = Routes()


@frozen
class ToolListQuery:
    """What `tool.list` takes."""

    agent_id: Annotated[Id | None, Meta(description="Only tools that this agent may use.")] = None
    cursor: Cursor | None = None
    limit: Limit = PAGE_LIMIT


@tool_routes.add(
    "GET",
    "tool.list",
    permission="tool:read",
    query=ToolListQuery,
    answers="tool.list",
    answer=Tool,
    paged=True,
    errors=(ServiceUnreachable,),
)
async def list_tools(call: Call) -> Answer:
    """List the tools, by their ids."""
    query: ToolListQuery = call.query
    page = await call.services.tools.list(call.ctx, agent_id=query.agent_id, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


@tool_routes.add(
    "POST",
    "tool.execute",
    permission="tool:execute",
    body=ToolRun,
    answers="tool.result",
    answer=ToolRan,
    errors=(NotFound, Unprocessable, ServiceUnreachable),
)
async def execute(call: Call) -> Answer:
    """Run a tool."""
    await call.services.tools.find(call.ctx, call.body)
    return Answer(await call.services.tools.execute(call.ctx, call.body))


@tool_routes.add(
    "POST",
    "tool.updated",
    access=Access.INTERNAL,
    body=ToolUpdated,
    answers="tool.forgotten",
    answer=Forgotten,
)
async def updated(call: Call) -> Answer:
    """Have every process look tools up anew."""
    return Answer(await call.services.catalog_notices.tool_updated(call.ctx, call.body))
