"""Routes of tools."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.errors import IdempotencyKeyReused, NotFound, QueueFull, ServiceUnreachable, Unprocessable
from orchestrator.models.agents.agent_views import Forgotten, ToolUpdated
from orchestrator.models.agents.tool import LONGEST_MS, Tool, ToolKind, ToolRan, ToolRun
from orchestrator.models.common.ids import Id
from orchestrator.models.common.limits import RateClass
from orchestrator.models.tasks.task import Task
from orchestrator.routes.http.paging import Cursor, Limit, page_answer
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

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
    rate_class=RateClass.READ,
    cached=True,
)
async def list_tools(call: RouteCall) -> RouteAnswer:
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
    idempotent=True,
    errors=(NotFound, Unprocessable, IdempotencyKeyReused, QueueFull, ServiceUnreachable),
    also={202: ("A task, whose result will be the tool's: one that answers later.", Task, ())},
    rate_class=RateClass.WRITE,
)
async def execute(call: RouteCall) -> RouteAnswer:
    """Run a tool: its result at once, or a task where it comes later."""
    run: ToolRun = call.body
    tool = await call.services.tools.find(call.ctx, run)
    if tool.kind is not ToolKind.ASYNC:
        ran, replayed = await call.services.tools.execute(call.ctx, run)
        return RouteAnswer(ran, replayed=replayed)
    task = await call.services.tool_runs.start(
        call.ctx,
        run.tool_id,
        run.parameters,
        session_id=run.session_id,
        timeout_ms=run.timeout_ms or LONGEST_MS,
    )
    return RouteAnswer(task, status=202, kind={"domain": "tool", "action": "accepted"})


@tool_routes.add(
    "POST",
    "tool.updated",
    access=Access.INTERNAL,
    body=ToolUpdated,
    answers="tool.forgotten",
    answer=Forgotten,
    rate_class=RateClass.WRITE,
)
async def updated(call: RouteCall) -> RouteAnswer:
    """Have every process look tools up anew."""
    return RouteAnswer(await call.services.catalog_invalidation.tool_updated(call.ctx, call.body))
