"""Tool Registry: knows the tools of agents, and runs them."""

from typing import Any, Final

from attrs import frozen

from orchestrator.clients.transport.messages import payload
from orchestrator.clients.transport.transport import Transport
from orchestrator.models.common.call import CallContext
from orchestrator.models.events.events import ToolOutcome, ToolStatus
from orchestrator.models.plans.service_operations import OPERATIONS
from orchestrator.models.tasks.waits import Callback

LIST: Final = OPERATIONS["tool_registry", "list"]
GET: Final = OPERATIONS["tool_registry", "get"]
EXECUTE: Final = OPERATIONS["tool_registry", "execute"]
ASYNC_EXECUTE: Final = OPERATIONS["tool_registry", "async_execute"]


@frozen
class ToolRegistryClient:
    """Calls the Tool Registry; every method raises what `Transport.call` raises."""

    transport: Transport

    async def list(self, call: CallContext, agent_id: str | None = None) -> list[dict[str, Any]]:
        """Return the tools of the tenant, or those that an agent may use."""
        return payload(await self.transport.call(call, LIST, {"agent_id": agent_id})).mappings("tools")

    async def get(self, call: CallContext, tool_id: str) -> dict[str, Any]:
        """Return one tool."""
        return payload(await self.transport.call(call, GET, {"tool_id": tool_id})).fields

    async def execute(self, call: CallContext, tool_id: str, parameters: dict[str, Any]) -> ToolOutcome:
        """Run a tool and wait for it; a tool that failed is an outcome too."""
        asked = {"tool_id": tool_id, "parameters": parameters}
        answer = payload(await self.transport.call(call, EXECUTE, asked))
        status = answer.text("status")
        if status in {"success", "completed"}:
            return ToolOutcome(ToolStatus.SUCCESS, data=answer.fields.get("result"))
        if status in {"accepted", "queued", "pending", "running"}:
            return ToolOutcome(ToolStatus.ERROR, error_message="The tool answers later, and can't be waited for here.")
        return ToolOutcome(ToolStatus.ERROR, error_message=answer.text("error_message", "The tool failed."))

    async def async_execute(
        self, call: CallContext, tool_id: str, parameters: dict[str, Any], callback: Callback
    ) -> str:
        """Start a tool that answers later, by `task.*`; returns the name that the registry gives it, or nothing."""
        asked = {"tool_id": tool_id, "parameters": parameters, "task_id": callback.task_id}
        answer = await self.transport.call(
            call, ASYNC_EXECUTE, asked, task_id=callback.task_id, callback_token=callback.token
        )
        return payload(answer).text("execution_id", "")
