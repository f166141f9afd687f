"""Tool Registry: lists the tools of agents, and runs them."""

from functools import partial
from typing import Any, Final

from attrs import frozen

from orchestrator.clients.dialects.answers import TOOL
from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.transport.messages import payload
from orchestrator.clients.transport.transport import Transport
from orchestrator.dialects.engine_runs import own_names
from orchestrator.dialects.failures import read_failure
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Fallback, Operation, Owner, PlanAccess
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.tasks.waits import Callback

_operation = partial(Operation, "tool_registry", domain="tool")
_OWNERS: Final = {"tool_id": Owner.TENANT, "agent_id": Owner.TENANT}

LIST: Final = _operation(
    "list",
    "GET",
    "/api/v1/tools",
    optional=("agent_id", "types", "page", "limit"),
    idempotent=True,
    plan=PlanAccess("tool:read", _OWNERS, ("types", "page", "limit")),
    fallback=Fallback("the list that was known last, else none", 600.0),
)
GET: Final = _operation("get", "GET", "/api/v1/tools/{tool_id}", idempotent=True, plan=PlanAccess("tool:read", _OWNERS))
EXECUTE: Final = _operation(
    "execute",
    "POST",
    "/api/v1/tools/execute",
    required=("tool_id", "parameters"),
    callee="tool_id",
    plan=PlanAccess("tool:execute", _OWNERS, ("parameters",)),
    fallback=Fallback("the agent is told, and decides"),
)
ASYNC_EXECUTE: Final = _operation(
    "async_execute",
    "POST",
    "/api/v1/tools/async-execute",
    required=("tool_id", "parameters"),
    callee="tool_id",
    optional=("task_id",),
    delegable=True,
    plan=PlanAccess("tool:execute", _OWNERS, ("parameters",)),
)

MOST_PAGES: Final = 100
"""Pages of a list of tools that are asked for."""


@frozen
class ToolRegistryClient:
    """Calls the Tool Registry; every method raises what `Transport.call` raises."""

    transport: Transport

    async def list(self, call: CallContext, agent_id: str | None = None) -> list[dict[str, Any]]:
        """Return the tools of the tenant, or those that an agent may use."""
        asked: dict[str, Any] = {"agent_id": agent_id}
        found: dict[str, dict[str, Any]] = {}
        for page in range(1, MOST_PAGES + 1):
            answer = payload(await self.transport.call(call, LIST, asked))
            tools = [own_names(tool, TOOL) for tool in answer.mappings("tools")]
            before = len(found)
            found |= {str(tool.get("tool_id")): tool for tool in tools}
            total = answer.mapping("pagination", {}).get("total")
            # A registry that gives the same page again has no more.
            if not isinstance(total, int) or len(found) >= total or len(found) == before:
                break
            limit = answer.mapping("pagination", {}).get("limit") or len(tools)
            asked = {"agent_id": agent_id, "page": page + 1, "limit": limit}
        return list(found.values())

    async def get(self, call: CallContext, tool_id: str) -> dict[str, Any]:
        """Return one tool."""
        return own_names(payload(await self.transport.call(call, GET, {"tool_id": tool_id})).fields, TOOL)

    async def execute(self, call: CallContext, tool_id: str, parameters: dict[str, Any]) -> ToolOutcome:
        """Run a tool and wait for its outcome; a failure of the tool is an outcome too."""
        asked = {"tool_id": tool_id, "parameters": parameters}
        whole = await self.transport.call(call, EXECUTE, asked)
        answer = payload(whole, own=True)
        status = answer.text("status")
        if status in {"success", "completed"}:
            took_ms = whole.mapping("metadata", {}).get("execution_time_ms")
            known = float(took_ms) if type(took_ms) in {int, float} else None  # type: ignore[arg-type] # it is a number
            return ToolOutcome(ToolStatus.SUCCESS, answer.fields.get("result"), execution_time_ms=known)
        if status in {"accepted", "queued", "pending", "running"}:
            return ToolOutcome(ToolStatus.ERROR, error_message="The tool answers later, and can't be waited for here.")
        said = answer.text("error_message", "") or read_failure(whole.fields).sentence
        return ToolOutcome(ToolStatus.ERROR, error_message=said or "The tool failed.")

    async def async_execute(
        self, call: CallContext, tool_id: str, parameters: dict[str, Any], callback: Callback
    ) -> str:
        """Start a tool that answers later, by `task.*`; returns the registry's execution id, or an empty string."""
        asked = {"tool_id": tool_id, "parameters": parameters, "task_id": callback.task_id}
        answer = await self.transport.call(
            call, ASYNC_EXECUTE, asked, task_id=callback.task_id, callback_token=callback.token
        )
        return payload(answer, own=True).text("execution_id", "")


TOOL_REGISTRY: Final = ServiceRecord("tool_registry", ToolRegistryClient, (LIST, GET, EXECUTE, ASYNC_EXECUTE))
