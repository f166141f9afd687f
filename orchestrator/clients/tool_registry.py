"""Tool Registry: knows the tools of agents, and runs them."""

from typing import Any

from attrs import frozen

from orchestrator.clients.messages import message, payload
from orchestrator.clients.transport import Transport, path_part
from orchestrator.models.call import CallContext
from orchestrator.models.events import ToolOutcome, ToolStatus


@frozen
class ToolRegistryClient:
    """Calls the Tool Registry; every method raises what `Transport.request` raises."""

    transport: Transport

    async def list(self, call: CallContext, agent_id: str | None = None) -> list[dict[str, Any]]:
        """Return the tools of the tenant, or those that an agent may use."""
        query = None if agent_id is None else {"agent_id": agent_id}
        return payload(await self.transport.get(call, "/api/v1/tools", query)).mappings("tools")

    async def get(self, call: CallContext, tool_id: str) -> dict[str, Any]:
        """Return one tool."""
        return payload(await self.transport.get(call, f"/api/v1/tools/{path_part(tool_id)}")).fields

    async def execute(self, call: CallContext, tool_id: str, parameters: dict[str, Any]) -> ToolOutcome:
        """Run a tool and wait for it; a tool that failed is an outcome too."""
        fields = {"tool_id": tool_id, "parameters": parameters}
        body = message(call, "tool", "execute", fields)
        answer = payload(await self.transport.request(call, "POST", "/api/v1/tools/execute", body))
        status = answer.text("status")
        if status in {"success", "completed"}:
            return ToolOutcome(ToolStatus.SUCCESS, data=answer.fields.get("result"))
        if status in {"accepted", "queued", "pending", "running"}:
            return ToolOutcome(ToolStatus.ERROR, error_message="The tool answers later, and can't be waited for here.")
        return ToolOutcome(ToolStatus.ERROR, error_message=answer.text("error_message", "The tool failed."))

    async def async_execute(
        self, call: CallContext, tool_id: str, parameters: dict[str, Any], *, task_id: str
    ) -> dict[str, Any]:
        """Start a tool whose result comes later, as a `task.*` message for `task_id`."""
        fields = {"tool_id": tool_id, "parameters": parameters, "task_id": task_id}
        body = message(call, "tool", "execute", fields, task_id=task_id)
        return payload(await self.transport.request(call, "POST", "/api/v1/tools/async-execute", body)).fields
