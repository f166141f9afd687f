"""The core of a process: what its services and its consumer share, built before either of them."""

from typing import Self

from attrs import frozen

from orchestrator.clients.registry import Clients
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.services.agents.agent_question import AgentQuestionRunner
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.chat.messages import ChatService
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.gateway.gateway import Gateway, open_gateway
from orchestrator.services.operations.system_events import SystemEvents
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.rate_limiter import rates_of
from orchestrator.services.tasks.task_kinds import TaskKinds
from orchestrator.services.tasks.tasks import TaskService, retention_of
from orchestrator.services.workflows.workflow_engine import EngineService
from orchestrator.store.background_loops import BackgroundLoops
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.sessions.sessions import Rates
from orchestrator.store.stores import Stores
from orchestrator.telemetry.metrics import Metrics


@frozen
class Core:
    """What the services and the consumer of a process are built on."""

    settings: AgentOrchestratorSettings
    node: str
    """The name of the process."""
    stores: Stores
    clients: Clients
    metrics: Metrics
    loops: BackgroundLoops
    rates: Rates
    kinds: TaskKinds
    """The kinds of tasks that the process runs."""
    system_events: SystemEvents
    coordinator: ServiceCoordinator
    catalog: AgentCatalog
    sessions: SessionManager
    tasks: TaskService
    chat: ChatService
    questions: AgentQuestionRunner
    engine: EngineService
    gateway: Gateway
    event_hub: EventHub

    @classmethod
    def over(
        cls,
        settings: AgentOrchestratorSettings,
        node: str,
        stores: Stores,
        clients: Clients,
        metrics: Metrics,
        kinds: TaskKinds,
    ) -> Self:
        """Build it over a process's stores and clients."""
        rates = rates_of(settings)
        system_events = SystemEvents(stores.notices, node)
        coordinator = ServiceCoordinator(metrics, settings.services, system_events.breaker_changed)
        catalog = AgentCatalog(clients, coordinator)
        sessions = SessionManager(stores.sessions, stores.audit, settings, rates, metrics, catalog)
        tasks = TaskService(stores.tasks, stores.ready, retention_of(settings))
        event_hub = EventHub(stores.redis, stores.keys, stores.events)
        chat = ChatService(
            stores.admission,
            stores.tasks,
            tasks,
            sessions,
            stores.ready,
            stores.due,
            event_hub,
            Transcripts(stores.tasks, sessions, Conversations(clients.conversation, coordinator), settings),
            settings,
            rates,
        )
        gateway = open_gateway(
            clients, coordinator, stores.gateway_calls, stores.answers, stores.ledger, settings.gateway, metrics
        )
        return cls(
            settings,
            node,
            stores,
            clients,
            metrics,
            BackgroundLoops(metrics.loop_failed),
            rates,
            kinds,
            system_events,
            coordinator,
            catalog,
            sessions,
            tasks,
            chat,
            AgentQuestionRunner(clients, coordinator, catalog),
            EngineService(clients, coordinator, stores.delegations),
            gateway,
            event_hub,
        )
