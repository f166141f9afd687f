"""A cache in memory of agents' configurations and of lists of tools.

A change of an agent or a tool is announced (`agent.updated`, `tool.updated`), and every process drops its entry
(`catalog_invalidation`); where an announcement is lost, an entry is stale for `FRESH_SECONDS` at most.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import structlog
import trio
from attrs import define

from orchestrator.clients import agent_management, tool_registry
from orchestrator.clients.registry import Clients
from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import HIGH, ONCE, ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator

T = TypeVar("T")

_log = structlog.get_logger("orchestrator.services.downstream.agent_catalog")
Key = tuple[str, str, str]
"""Tenant, id of agent or tool, version."""

FRESH_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 5.0
"""Time for which a value is used whose service was found away, before the service is asked for it again."""
ENTRIES: Final = 4096
"""Bound of each cache, of all tenants together; beyond it the oldest entry is dropped."""

AGENT: Final = ServiceCall(*agent_management.GET.key, HIGH, timeout_ms=5000)
LOOK: Final = ServiceCall(*agent_management.GET.key, ONCE, timeout_ms=1000)
"""For callers that go on without an answer rather than wait for it."""
TOOLS: Final = ServiceCall(*tool_registry.LIST.key, ONCE, timeout_ms=2000)
"""A turn goes on without the list rather than wait for it."""
TOOL: Final = ServiceCall(*tool_registry.GET.key, HIGH, timeout_ms=5000)


@define
class _Entry(Generic[T]):
    """A cached value; moments are on trio's clock."""

    value: T
    fetched_at: float
    fresh_until: float


class _Cache(Generic[T]):
    """Values by tenant, name and version, each fresh for `FRESH_SECONDS`.

    Args:
        last_known_seconds: age up to which a value is used while its service is away.
    """

    def __init__(self, last_known_seconds: float = 0.0) -> None:
        self._last_known_seconds = last_known_seconds
        self._kept: dict[Key, _Entry[T]] = {}
        self._forgotten = 0

    def fresh(self, key: Key) -> T | None:
        """Return a value that need not be fetched; None: there is none."""
        kept = self._kept.get(key)
        return kept.value if kept is not None and trio.current_time() < kept.fresh_until else None

    async def get(self, key: Key, fetch: Callable[[], Awaitable[T]]) -> T:
        found = self.fresh(key)
        if found is not None:
            return found
        forgotten = self._forgotten
        try:
            value = await fetch()
        except ServiceFault:
            if not self.knows(key):
                raise
            _log.warning("catalog.last_known", tenant_id=key[0], name=key[1])
            kept = self._kept[key]
            kept.fresh_until = trio.current_time() + PAUSE_SECONDS
            return kept.value
        # A value that was requested before an announcement may be older than the change.
        if forgotten == self._forgotten:
            self._put(key, value)
        return value

    def knows(self, key: Key) -> bool:
        """Tell whether there is a value to use while the service is away."""
        kept = self._kept.get(key)
        return kept is not None and trio.current_time() - kept.fetched_at < self._last_known_seconds

    def _put(self, key: Key, value: T) -> None:
        self._kept.pop(key, None)
        now = trio.current_time()
        self._kept[key] = _Entry(value, now, now + FRESH_SECONDS)
        if len(self._kept) > ENTRIES:
            del self._kept[next(iter(self._kept))]

    def forget(self, tenant_id: str | None, name: str | None) -> None:
        """Drop a name of a tenant in all its versions; None stands for all."""
        self._forgotten += 1
        doomed = [key for key in self._kept if tenant_id in {None, key[0]} and name in {None, key[1]}]
        for key in doomed:
            del self._kept[key]


class AgentCatalog:
    """Looks agents and their tools up. Its results are shared between turns, and must not be changed."""

    def __init__(self, clients: Clients, coordinator: ServiceCoordinator) -> None:
        self._clients = clients
        self._coordinator = coordinator
        self._agents: _Cache[AgentConfig] = _Cache(agent_management.GET.last_known_seconds)
        self._tools: _Cache[list[dict[str, Any]]] = _Cache(tool_registry.LIST.last_known_seconds)
        self._tool: _Cache[dict[str, Any]] = _Cache()

    async def agent(self, call: CallContext, agent_id: str, version: str | None = None) -> AgentConfig:
        """Return an agent's configuration, in a version or in the latest.

        Raises:
            NotFound: the tenant has no such agent, or not in this version.
            ServiceFault: Agent Management is away, and no configuration is cached that is young enough.
        """
        return await self._agent(AGENT, call, agent_id, version)

    async def look(self, call: CallContext, agent_id: str, version: str | None = None) -> AgentConfig:
        """Return an agent's configuration without retries; raises as `agent` does."""
        return await self._agent(LOOK, call, agent_id, version)

    async def tools(self, call: CallContext, agent_id: str | None) -> list[dict[str, Any]]:
        """Return the tools that an agent may use, or all; ServiceFault where the Tool Registry is away."""
        client = self._clients.tool_registry

        async def fetch() -> list[dict[str, Any]]:
            return await self._coordinator.run(TOOLS, call, lambda limited: client.list(limited, agent_id))

        return await self._tools.get((call.tenant_id, agent_id or "", ""), fetch)

    def known_tools(self, tenant_id: str, agent_id: str | None) -> list[dict[str, Any]] | None:
        """Return what `tools` would without asking the Tool Registry; None: it has to be asked."""
        return self._tools.fresh((tenant_id, agent_id or "", ""))

    async def tool(self, call: CallContext, tool_id: str) -> dict[str, Any]:
        """Return one tool as the Tool Registry describes it.

        Raises:
            NotFound: there is no such tool.
            ServiceFault: the Tool Registry is away.
        """
        client, call = self._clients.tool_registry, call.to("tool", tool_id)

        async def fetch() -> dict[str, Any]:
            return await self._coordinator.run(TOOL, call, lambda limited: client.get(limited, tool_id))

        try:
            return await self._tool.get((call.tenant_id, tool_id, ""), fetch)
        except NotFound as error:
            raise NotFound(f"There is no tool {tool_id!r}.", details=error.details, service=error.service) from None

    def forget_agent(self, tenant_id: str, agent_id: str) -> None:
        """Drop an agent in all its versions, and the list of its tools."""
        self._agents.forget(tenant_id, agent_id)
        self._tools.forget(tenant_id, agent_id)

    def forget_tools(self, tenant_id: str, *, tool_id: str | None, agent_id: str | None) -> None:
        """Drop a tool, and an agent's list of tools; None stands for all of the tenant's."""
        self._tool.forget(tenant_id, tool_id)
        self._tools.forget(tenant_id, agent_id)
        if agent_id is not None:
            self._tools.forget(tenant_id, "")

    def forget_all(self) -> None:
        """Drop everything: announcements may have been lost."""
        self._agents.forget(None, None)
        self._tools.forget(None, None)
        self._tool.forget(None, None)

    async def _agent(self, step: ServiceCall, call: CallContext, agent_id: str, version: str | None) -> AgentConfig:
        client, key = self._clients.agent_management, (call.tenant_id, agent_id, version or "")
        call = call.to("agent", agent_id)

        async def fetch() -> AgentConfig:
            # No retries where a cached value can be used instead.
            patient = LOOK if self._agents.knows(key) else step
            return await self._coordinator.run(patient, call, lambda limited: client.get(limited, agent_id, version))

        try:
            return await self._agents.get(key, fetch)
        except NotFound as error:
            which = f"agent {agent_id!r}" if version is None else f"agent {agent_id!r} in version {version!r}"
            raise NotFound(f"There is no {which}.", details=error.details, service=error.service) from None
