"""What the consumer works with."""

from collections.abc import Callable, Mapping

from attrs import field, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.tasks.task_kinds import TaskKinds
from orchestrator.store.keys import Keys
from orchestrator.store.operations.nodes import Nodes
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.redis.connection import Redis
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.tasks.tasks import TaskStore
from orchestrator.telemetry.metrics import Metrics


@frozen
class QueueServices:
    """The stores and the name of this process."""

    node: str
    settings: AgentOrchestratorSettings
    redis: Redis
    keys: Keys
    tasks: TaskStore
    ready: ReadyTenants
    due: DueTenants
    nodes: Nodes
    delegations: DelegationStore
    sessions: SessionManager
    kinds: TaskKinds
    metrics: Metrics = field(factory=Metrics)
    breakers: Callable[[], Mapping[str, str]] = dict
    """Says which services this process leaves alone."""

    async def tenants(self) -> list[str]:
        """Return all tenants that ever had a session."""
        return [tenant.decode() for tenant in await self.redis.smembers(self.keys.tenants)]
