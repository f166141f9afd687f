"""Agent Management: the agents of each tenant, from the fixtures."""

from collections import deque
from typing import Any, Final

from orchestrator.clients.agent_management import FEEDBACK, GET, LIST
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.sandbox.data_files import Fixtures
from orchestrator.sandbox.serving.http_server import SandboxReply
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn, payload_reply

KEPT_FEEDBACK: Final = 1000


class AgentManagementService:
    """The Agent Management service."""

    def __init__(self, fixtures: Fixtures) -> None:
        self._fixtures = fixtures
        self.feedback_given: deque[dict[str, Any]] = deque(maxlen=KEPT_FEEDBACK)
        """The latest feedback, as it came, with tenant, agent and moment."""

    async def list_agents(self, call: SandboxCall) -> SandboxReply:
        """Return the tenant's agents in their latest versions, without their prompts."""
        self._check_tenant(call)
        names = ("agent_id", "version", "name", "description", "tools", "client_tools")
        latest = [self._versions(agent_id)[-1] for agent_id in self._fixtures.tenant(call.tenant_id)["agents"]]
        return payload_reply({"agents": [{name: agent[name] for name in names} for agent in latest]})

    async def get(self, call: SandboxCall) -> SandboxReply:
        """Return an agent's configuration, in a version or in the latest."""
        versions = self._find(call)
        wanted = call.request.query.get("version")
        for agent in reversed(versions):
            if wanted in {None, "latest", agent["version"]}:
                return payload_reply(agent)
        raise call.missing("version of this agent", 2)

    async def feedback(self, call: SandboxCall) -> SandboxReply:
        """Store feedback on an agent."""
        self._find(call)
        given = {
            **call.payload,
            "tenant_id": call.tenant_id,
            "agent_id": call.params["agent_id"],
            "created_at": to_timestamp(now_ms()),
        }
        self.feedback_given.append(given)
        return payload_reply(given, 201)

    def _check_tenant(self, call: SandboxCall) -> None:
        if call.params["tenant_id"] != call.tenant_id:
            raise call.missing("tenant")

    def _find(self, call: SandboxCall) -> list[dict[str, Any]]:
        self._check_tenant(call)
        agent_id = call.params["agent_id"]
        if not self._fixtures.has_agent(call.tenant_id, agent_id):
            raise SandboxRefusal(404, "AMGT_NOTF_001", f"The tenant has no agent {agent_id}.")
        return self._versions(agent_id)

    def _versions(self, agent_id: str) -> list[dict[str, Any]]:
        return [*self._fixtures.agents[agent_id].values()]


def stand_in(resources: SandboxResources) -> StandIn:
    """Make the stand-in."""
    service = AgentManagementService(resources.fixtures)
    return StandIn(
        "AMGT",
        (
            SandboxRoute(LIST, service.list_agents),
            SandboxRoute(GET, service.get),
            SandboxRoute(FEEDBACK, service.feedback, creates=True),
        ),
    )
