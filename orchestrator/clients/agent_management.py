"""Agent Management: keeps how agents are configured."""

from typing import Any, Final

from attrs import frozen

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.messages import payload
from orchestrator.clients.transport.transport import Transport
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.service_operations import OPERATIONS

LIST: Final = OPERATIONS["agent_management", "list"]
GET: Final = OPERATIONS["agent_management", "get"]
FEEDBACK: Final = OPERATIONS["agent_management", "feedback"]


@frozen
class AgentManagementClient:
    """Calls Agent Management; every method raises what `Transport.call` raises."""

    transport: Transport

    async def list(self, call: CallContext) -> list[dict[str, Any]]:
        """Return the tenant's agents as the service describes them."""
        return payload(await self.transport.call(call, LIST, {})).mappings("agents")

    async def get(self, call: CallContext, agent_id: str, version: str | None = None) -> AgentConfig:
        """Return an agent's configuration; NotFound where the tenant has no such agent."""
        return _config(payload(await self.transport.call(call, GET, {"agent_id": agent_id, "version": version})))

    async def feedback(self, call: CallContext, agent_id: str, fields: dict[str, Any]) -> None:
        """Hand on what somebody thinks of an agent."""
        await self.transport.call(call, FEEDBACK, {**fields, "agent_id": agent_id})


def _config(answer: ServiceAnswer) -> AgentConfig:
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
