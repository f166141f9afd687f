"""Agent Management: keeps how agents are configured."""

from typing import Any

from attrs import frozen

from orchestrator.clients.answers import Answer
from orchestrator.clients.messages import message, payload
from orchestrator.clients.transport import Transport, path_part
from orchestrator.models.agent import AgentConfig
from orchestrator.models.call import CallContext


@frozen
class AgentManagementClient:
    """Calls Agent Management; every method raises what `Transport.request` raises."""

    transport: Transport

    async def list(self, call: CallContext) -> list[dict[str, Any]]:
        """Return the tenant's agents as the service describes them."""
        answer = payload(await self.transport.get(call, f"/api/v1/agents/{path_part(call.tenant_id)}"))
        return answer.mappings("agents")

    async def get(self, call: CallContext, agent_id: str, version: str | None = None) -> AgentConfig:
        """Return an agent's configuration; NotFound where the tenant has no such agent."""
        query = None if version is None else {"version": version}
        return _config(payload(await self.transport.get(call, _of(call, agent_id), query)))

    async def feedback(self, call: CallContext, agent_id: str, fields: dict[str, Any]) -> None:
        """Hand on what somebody thinks of an agent."""
        body = message(call, "agent", "feedback", fields)
        await self.transport.request(call, "POST", f"{_of(call, agent_id)}/feedback", body)


def _of(call: CallContext, agent_id: str) -> str:
    return f"/api/v1/agents/{path_part(call.tenant_id)}/{path_part(agent_id)}"


def _config(answer: Answer) -> AgentConfig:
    version = answer.fields.get("version")
    return AgentConfig(
        agent_id=answer.text("agent_id"),
        version=str(version) if isinstance(version, int) else answer.text("version"),
        name=answer.text("name"),
        description=answer.text("description", ""),
        parameters=answer.mapping("parameters", {}),
        system_prompt=answer.text("system_prompt", ""),
        tools=answer.items("tools", []),
        memory=answer.mapping("memory", {}),
        permissions=answer.fields.get("permissions"),
        client_tools=answer.texts("client_tools", []),
    )
