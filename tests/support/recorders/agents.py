"""Agents and tools without the services that keep them, for tests of what the HTTP side alone decides."""

from typing import Any

from orchestrator.errors import NotFound
from orchestrator.models.agents.agent_views import (
    AgentDetails,
    AgentFeedback,
    AgentSummary,
    AgentUpdated,
    FeedbackTaken,
    Forgotten,
    ToolUpdated,
)
from orchestrator.models.agents.tool import Tool, ToolKind, ToolRan, ToolRun
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import ToolStatus


class FakeAgents:
    async def list(self, ctx: RequestContext, **wanted: Any) -> Page[AgentSummary]:
        return Page([AgentSummary("echo", "1.1.0", "Echo", "Says what you said.")])

    async def get(self, ctx: RequestContext, agent_id: str, version: str | None) -> AgentDetails:
        if agent_id != "echo":
            raise NotFound(f"There is no agent {agent_id!r}.")
        return AgentDetails("echo", version or "1.1.0", "Echo")

    async def feedback(self, ctx: RequestContext, given: AgentFeedback) -> tuple[FeedbackTaken, bool]:
        return FeedbackTaken("echo", "1.1.0", "s1", given.rating, given.message_id), False


class FakeTools:
    async def list(self, ctx: RequestContext, **wanted: Any) -> Page[Tool]:
        return Page([await self.find(ctx, ToolRun("calculator"))])

    async def find(self, ctx: RequestContext, run: ToolRun) -> Tool:
        if run.tool_id != "calculator":
            raise NotFound(f"There is no tool {run.tool_id!r}.")
        return Tool("calculator", "Calculator", ToolKind.SYNC)

    async def execute(self, ctx: RequestContext, run: ToolRun) -> tuple[ToolRan, bool]:
        return ToolRan(run.tool_id, ToolStatus.SUCCESS, 42, execution_time_ms=1.0, session_id=run.session_id), False


class FakeSystemEvents:
    async def agent_updated(self, ctx: RequestContext, notice: AgentUpdated) -> Forgotten:
        return Forgotten(agent_id=notice.agent_id)

    async def tool_updated(self, ctx: RequestContext, notice: ToolUpdated) -> Forgotten:
        return Forgotten(agent_id=notice.agent_id, tool_id=notice.tool_id)
