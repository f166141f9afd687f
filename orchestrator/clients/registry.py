"""The downstream services: their records in one list, and a typed client for each."""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from orchestrator.clients.agent_execution import AGENT_EXECUTION, AgentExecutionClient
from orchestrator.clients.agent_management import AGENT_MANAGEMENT, AgentManagementClient
from orchestrator.clients.conversation import CONVERSATION, ConversationClient
from orchestrator.clients.embedding import EMBEDDING, EmbeddingClient
from orchestrator.clients.query import QUERY, QueryClient
from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.tool_registry import TOOL_REGISTRY, ToolRegistryClient
from orchestrator.clients.transport.transport import Transport
from orchestrator.clients.workflow_engine import WORKFLOW_ENGINE, WorkflowEngineClient
from orchestrator.config.defaults import DEFAULTS
from orchestrator.config.settings import ServiceSettings
from orchestrator.models.downstream.operation import Operations

_RECORDS: Final = (
    CONVERSATION,
    AGENT_MANAGEMENT,
    AGENT_EXECUTION,
    WORKFLOW_ENGINE,
    TOOL_REGISTRY,
    QUERY,
    EMBEDDING,
)

SERVICES: Final[Mapping[str, ServiceRecord]] = {record.name: record for record in _RECORDS}
"""Every downstream service, by name."""
OPERATIONS: Final[Operations] = {operation.key: operation for record in _RECORDS for operation in record.operations}
"""Every operation of every service, by service and name."""


@frozen
class Clients:
    """Typed clients, one a service."""

    conversation: ConversationClient
    agent_management: AgentManagementClient
    agent_execution: AgentExecutionClient
    workflow_engine: WorkflowEngineClient
    tool_registry: ToolRegistryClient
    query: QueryClient
    embedding: EmbeddingClient

    def transport(self, service: str) -> Transport:
        """Return the transport to a service, by its name in the settings."""
        transport: Transport = getattr(self, service).transport
        return transport


def settings_of(service: str, chosen: Mapping[str, ServiceSettings]) -> ServiceSettings:
    """Return the settings of a service: those in `chosen`, else the defaults."""
    return chosen.get(service) or DEFAULTS.services[service]
