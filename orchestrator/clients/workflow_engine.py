"""Workflow Engine: runs the workflows that it knows."""

from typing import Any

from attrs import frozen

from orchestrator.clients.messages import message, payload
from orchestrator.clients.transport import Transport, path_part
from orchestrator.models.call import CallContext


@frozen
class WorkflowEngineClient:
    """Calls the Workflow Engine; every method raises what `Transport.request` raises."""

    transport: Transport

    async def definitions(self, call: CallContext) -> list[dict[str, Any]]:
        """Return the workflows that the tenant may run."""
        answer = payload(await self.transport.get(call, "/api/v1/workflow/definitions"))
        return answer.mappings("definitions")

    async def definition(self, call: CallContext, workflow_id: str) -> dict[str, Any]:
        """Return one workflow."""
        return payload(await self.transport.get(call, f"/api/v1/workflow/definitions/{path_part(workflow_id)}")).fields

    async def validate(self, call: CallContext, definition: dict[str, Any]) -> dict[str, Any]:
        """Return what the engine thinks of a definition."""
        body = message(call, "workflow", "validate", definition)
        return payload(await self.transport.request(call, "POST", "/api/v1/workflow/validate", body)).fields

    async def execute(self, call: CallContext, workflow_id: str, input_: dict[str, Any], *, task_id: str) -> str:
        """Start a workflow and return the id of its execution."""
        fields = {"workflow_id": workflow_id, "input": input_, "task_id": task_id}
        body = message(call, "workflow", "execute", fields, task_id=task_id)
        answer = payload(await self.transport.request(call, "POST", "/api/v1/workflow/execute", body))
        return answer.text("execution_id")

    async def execution(self, call: CallContext, execution_id: str) -> dict[str, Any]:
        """Return how an execution stands."""
        return payload(await self.transport.get(call, _of(execution_id))).fields

    async def cancel(self, call: CallContext, execution_id: str, reason: str | None = None) -> None:
        """Stop an execution."""
        body = message(call, "workflow", "cancel", {"reason": reason})
        await self.transport.request(call, "POST", f"{_of(execution_id)}/cancel", body)

    async def answer_input(self, call: CallContext, execution_id: str, node_id: str, input_: Any) -> None:
        """Hand on what a user answered to a workflow that waits for it."""
        body = message(call, "workflow", "input", {"node_id": node_id, "input": input_})
        await self.transport.request(call, "POST", f"{_of(execution_id)}/input", body)


def _of(execution_id: str) -> str:
    return f"/api/v1/workflow/executions/{path_part(execution_id)}"
