"""The configurations of agents and the lists of their tools, kept in memory for a short while."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import trio

from orchestrator.clients.opening import Clients
from orchestrator.errors import NotFound
from orchestrator.models.agent import AgentConfig
from orchestrator.models.call import CallContext
from orchestrator.models.orchestration import HIGH, ONCE, ServiceCall
from orchestrator.services.service_coordinator import ServiceCoordinator

T = TypeVar("T")

FRESH_SECONDS: Final = 30.0
ENTRIES: Final = 4096
"""Agents that are kept, of all tenants together; then the oldest entry goes."""

AGENT: Final = ServiceCall("agent_management", "get", HIGH, timeout_ms=5000)
TOOLS: Final = ServiceCall("tool_registry", "list", ONCE, timeout_ms=2000)
"""A turn goes on without the list rather than wait for it."""


class _Shelf(Generic[T]):
    """Values by tenant and agent, each for `FRESH_SECONDS`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[float, T]] = {}

    async def get(self, key: tuple[str, str], fetch: Callable[[], Awaitable[T]]) -> T:
        kept = self._kept.get(key)
        if kept is not None and kept[0] > trio.current_time():
            return kept[1]
        value = await fetch()
        self._kept.pop(key, None)
        self._kept[key] = (trio.current_time() + FRESH_SECONDS, value)
        if len(self._kept) > ENTRIES:
            del self._kept[next(iter(self._kept))]
        return value


class AgentCatalog:
    """Looks agents and their tools up. What it returns is shared between turns: nobody changes it."""

    def __init__(self, clients: Clients, coordinator: ServiceCoordinator) -> None:
        self._clients = clients
        self._coordinator = coordinator
        self._agents: _Shelf[AgentConfig] = _Shelf()
        self._tools: _Shelf[list[dict[str, Any]]] = _Shelf()

    async def agent(self, call: CallContext, agent_id: str) -> AgentConfig:
        """Return an agent's configuration.

        Raises:
            NotFound: the tenant has no such agent.
            ServiceFault: Agent Management is away, and stayed so.
        """
        client = self._clients.agent_management

        async def fetch() -> AgentConfig:
            return await self._coordinator.run(AGENT, call, lambda limited: client.get(limited, agent_id))

        try:
            return await self._agents.get((call.tenant_id, agent_id), fetch)
        except NotFound as error:
            raise NotFound(f"There is no agent {agent_id!r}.", details=error.details, service=error.service) from None

    async def tools(self, call: CallContext, agent_id: str) -> list[dict[str, Any]]:
        """Return the tools that an agent may use; ServiceFault where the Tool Registry is away."""
        client = self._clients.tool_registry

        async def fetch() -> list[dict[str, Any]]:
            return await self._coordinator.run(TOOLS, call, lambda limited: client.list(limited, agent_id))

        return await self._tools.get((call.tenant_id, agent_id), fetch)
