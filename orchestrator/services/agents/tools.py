"""Tools as clients see them: the Tool Registry keeps and runs them."""

from typing import Any, Final

import trio
from attrs import frozen

from orchestrator.clients.registry import Clients
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.http_errors import InputRefused
from orchestrator.errors import NotFound, ServiceRefused, Unprocessable
from orchestrator.models.agents.tool import AT_ONCE_MS, TIMEOUT_MS, Tool, ToolKind, ToolRan, ToolRun
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import ToolOutcome
from orchestrator.models.plans.orchestration import MEDIUM, ServiceCall
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.call_contexts import call_for
from orchestrator.services.shared.idempotency import Idempotency
from orchestrator.services.shared.named_pages import page_by_name

EXECUTE: Final = ServiceCall("tool_registry", "execute", MEDIUM)
LOOKUP_SECONDS: Final = 10.0
"""Deadline of what a client waits for."""


@frozen
class ToolService:
    """Shows tools, and runs them for clients."""

    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog
    sessions: SessionManager
    repeats: Idempotency

    async def list(self, ctx: RequestContext, *, agent_id: str | None, cursor: str | None, limit: int) -> Page[Tool]:
        """List the tools that an agent may use, or all, by their ids.

        Raises:
            InvalidParameter: the cursor is none of this list.
            ServiceFault: the Tool Registry is away, or answers nonsense.
        """
        told = await self.catalog.tools(call_for(ctx, LOOKUP_SECONDS), agent_id)
        tools = {tool.tool_id: tool for tool in map(_tool, told) if is_id(tool.tool_id)}
        return page_by_name(tools, cursor=cursor, limit=limit)

    async def find(self, ctx: RequestContext, run: ToolRun) -> Tool:
        """Return the tool that is to run.

        Raises:
            NotFound: there is none; or no such session that the caller may see; or its agent has no such tool.
            Unprocessable: it runs at the client.
            ServiceFault: the Tool Registry is away, and stayed so.
        """
        call = call_for(ctx, LOOKUP_SECONDS)
        if run.session_id is not None:
            session = await self.sessions.get(ctx, run.session_id)
            its_tools = await self.catalog.tools(call, session.agent_id)
            if run.tool_id not in {tool.get("tool_id") for tool in its_tools}:
                raise NotFound(f"The agent {session.agent_id!r} has no tool {run.tool_id!r}.")
        tool = _tool(await self.catalog.tool(call, run.tool_id))
        if tool.kind is ToolKind.CLIENT:
            fault = FieldFault("$.data.tool_id", "runs at the client, not here")
            raise Unprocessable(f"The tool {run.tool_id!r} runs at the client, not here.", details=[fault])
        return tool

    async def execute(self, ctx: RequestContext, run: ToolRun) -> tuple[ToolRan, bool]:
        """Run a tool that answers at once; one that ran and failed is an answer too.

        Returns:
            What it gave, and whether an earlier request with the same idempotency key had run it.

        Raises:
            Unprocessable: its parameters are wrong.
            CallTimeout: its result did not come in time.
            IdempotencyKeyReused, NotFound, ServiceFault
        """
        return await self.repeats.once(ctx, "tool.execute", run, ToolRan, lambda: self._execute(ctx, run))

    async def _execute(self, ctx: RequestContext, run: ToolRun) -> ToolRan:
        named = ctx.idempotency_key or ctx.message_id or new_id()
        timeout_ms = min(run.timeout_ms or TIMEOUT_MS, AT_ONCE_MS)
        call = call_for(ctx, timeout_ms / 1000).keyed(f"tool:{ctx.principal.user_id}:{named}").to("tool", run.tool_id)
        client, begun = self.clients.tool_registry, trio.current_time()

        async def execute(limited: CallContext) -> ToolOutcome:
            return await client.execute(limited, run.tool_id, run.parameters)

        try:
            outcome = await self.coordinator.run(EXECUTE, call, execute)
        except ServiceRefused as error:
            raise _refused(run, error) from None
        took_ms = round((trio.current_time() - begun) * 1000, 3)
        return ToolRan(run.tool_id, outcome.status, outcome.data, outcome.error_message, took_ms, run.session_id)


def _tool(told: dict[str, Any]) -> Tool:
    tool = ServiceAnswer("tool_registry", told, "$.tools[]")
    kind = tool.text("kind", ToolKind.SYNC)
    return Tool(
        tool.text("tool_id"),
        tool.text("name", ""),
        # A kind that is not known here is the registry's own affair: it runs there.
        ToolKind(kind) if kind in set(ToolKind) else ToolKind.SYNC,
        tool.text("description", ""),
        tool.mapping("parameters", {}),
        tool.texts("agents", []),
    )


def _refused(run: ToolRun, error: ServiceRefused) -> ServiceRefused | Unprocessable:
    """Blame the right party: what the registry says of parameters is for the client that sent them."""
    told = any(fault.message.startswith("TOOL_VAL_") for fault in error.details)
    if not told and not isinstance(error, InputRefused):
        return error
    details = [FieldFault("$.data.parameters", fault.message) for fault in error.details]
    return Unprocessable(f"The tool {run.tool_id!r} does not take these parameters.", details=details)
