"""What the consumer works with."""

from collections.abc import Callable, Mapping
from typing import Self

from attrs import field, frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.models.operations.load import CalleeBreaker, OpenCall
from orchestrator.services.agents.agent_updates import AgentUpdates
from orchestrator.services.delegation.service_news import ServiceNewsService
from orchestrator.services.delegation.task_updates import TaskUpdateService
from orchestrator.services.operations.system_events import SystemEvents
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.tasks.task_kinds import TaskKinds
from orchestrator.store.background_loops import BackgroundLoops
from orchestrator.store.memory_walk import MemoryWalk
from orchestrator.store.operations.nodes import Nodes
from orchestrator.store.operations.quotas import QuotaStore
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.plans.delegations import DelegationStore
from orchestrator.store.plans.ownership import OwnershipStore
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.intake import IntakeStore
from orchestrator.store.scheduling.ready import ReadyTenants
from orchestrator.store.scheduling.tenant_survey import TenantSurveys
from orchestrator.store.stores import Stores
from orchestrator.store.tasks.enqueue import EnqueueStore
from orchestrator.store.tasks.packing import PackingStore
from orchestrator.store.tasks.tasks import TaskStore
from orchestrator.store.tasks.worker_signals import WorkerSignals
from orchestrator.telemetry.metrics import Metrics


@frozen(kw_only=True)
class QueueServices:
    """The stores and the name of this process."""

    node: str
    settings: AgentOrchestratorSettings
    tasks: TaskStore
    enqueue: EnqueueStore
    delegations: DelegationStore
    ownership: OwnershipStore
    packing: PackingStore
    ready: ReadyTenants
    due: DueTenants
    intake: IntakeStore
    tenants: TenantStates
    surveys: TenantSurveys
    quotas: QuotaStore
    memory_walk: MemoryWalk
    signals: WorkerSignals
    nodes: Nodes
    sessions: SessionManager
    kinds: TaskKinds
    service_news: ServiceNewsService
    metrics: Metrics = field(factory=Metrics)
    loops: BackgroundLoops = field(factory=BackgroundLoops)
    breakers: Callable[[], Mapping[str, str]] = dict
    """Says which services this process leaves alone."""
    callee_breakers: Callable[[], list[CalleeBreaker]] = list
    """Says which callees of services it leaves alone."""
    open_calls: Callable[[], list[OpenCall]] = list
    """Says which calls of services have been open for long."""
    notices: SystemEvents | None = None
    """Where operators are told what happens; None: nowhere."""
    agent_updates: AgentUpdates | None = None
    """Takes changes of agents that come as entries; None: nothing does."""

    @classmethod
    def over(
        cls,
        stores: Stores,
        settings: AgentOrchestratorSettings,
        *,
        node: str,
        sessions: SessionManager,
        kinds: TaskKinds,
        metrics: Metrics | None = None,
        loops: BackgroundLoops | None = None,
        breakers: Callable[[], Mapping[str, str]] = dict,
        callee_breakers: Callable[[], list[CalleeBreaker]] = list,
        open_calls: Callable[[], list[OpenCall]] = list,
        notices: SystemEvents | None = None,
        agent_updates: AgentUpdates | None = None,
    ) -> Self:
        """Take from a process's stores those that the consumer works with; None: metrics and loops of its own."""
        return cls(
            node=node,
            settings=settings,
            tasks=stores.tasks,
            enqueue=stores.enqueue,
            delegations=stores.delegations,
            ownership=stores.ownership,
            packing=stores.packing,
            ready=stores.ready,
            due=stores.due,
            intake=stores.intake,
            tenants=stores.tenants,
            surveys=stores.surveys,
            quotas=stores.quotas,
            memory_walk=stores.memory_walk,
            signals=stores.signals,
            nodes=stores.nodes,
            sessions=sessions,
            kinds=kinds,
            service_news=ServiceNewsService(
                stores.delegations, TaskUpdateService(stores.delegations, stores.ready, kinds)
            ),
            metrics=metrics or Metrics(),
            loops=loops or BackgroundLoops(),
            breakers=breakers,
            callee_breakers=callee_breakers,
            open_calls=open_calls,
            notices=notices,
            agent_updates=agent_updates,
        )
