"""Agent Management: stores the configurations of agents."""

from functools import partial
from typing import Any, Final

from attrs import frozen

from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.messages import payload
from orchestrator.clients.transport.transport import Transport
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Fallback, Operation, Owner, PlanAccess

_operation = partial(Operation, "agent_management", domain="agent", idempotent=True)

_HIDDEN: Final = ("system_prompt",)
"""Users do not see system prompts: the routes `agent.list` and `agent.get` hide them too."""

LIST: Final = _operation("list", "GET", "/api/v1/agents/{tenant_id}", plan=PlanAccess("agent:read", hidden=_HIDDEN))
GET: Final = _operation(
    "get",
    "GET",
    "/api/v1/agents/{tenant_id}/{agent_id}",
    optional=("version",),
    plan=PlanAccess("agent:read", {"agent_id": Owner.TENANT}, ("version",), hidden=_HIDDEN),
    fallback=Fallback("the configuration that was known last", 600.0),
)
FEEDBACK: Final = _operation(
    "feedback",
    "POST",
    "/api/v1/agents/{tenant_id}/{agent_id}/feedback",
    optional=("rating", "comment", "message_id", "session_id", "user_id", "metadata"),
    plan=PlanAccess(
        "agent:write",
        {
            "agent_id": Owner.TENANT,
            "message_id": Owner.MESSAGE,
            "session_id": Owner.SESSION,
            "user_id": Owner.USER,
        },
        ("rating", "comment", "metadata"),
    ),
)


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
        """Send a user's feedback on an agent."""
        await self.transport.call(call, FEEDBACK, {**fields, "agent_id": agent_id})


AGENT_MANAGEMENT: Final = ServiceRecord(
    "agent_management",
    AgentManagementClient,
    (LIST, GET, FEEDBACK),
)


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
