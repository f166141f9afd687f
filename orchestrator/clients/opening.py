"""All seven clients, opened and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import frozen

from orchestrator.clients.agent_execution import AgentExecutionClient
from orchestrator.clients.agent_management import AgentManagementClient
from orchestrator.clients.conversation import ConversationClient
from orchestrator.clients.embedding import EmbeddingClient
from orchestrator.clients.query import QueryClient
from orchestrator.clients.tool_registry import ToolRegistryClient
from orchestrator.clients.transport.http_transport import HttpTransport
from orchestrator.clients.transport.queue_transport import Desk, QueueTransport
from orchestrator.clients.transport.transport import Transport
from orchestrator.clients.workflow_engine import WorkflowEngineClient
from orchestrator.config.settings import ServiceSettings, ServicesSettings


@frozen
class Clients:
    """One client for each downstream service."""

    conversation: ConversationClient
    agent_management: AgentManagementClient
    agent_execution: AgentExecutionClient
    workflow_engine: WorkflowEngineClient
    tool_registry: ToolRegistryClient
    query: QueryClient
    embedding: EmbeddingClient

    def transport(self, service: str) -> Transport:
        """Return the way to a service, by its name in the settings."""
        transport: Transport = getattr(self, service).transport
        return transport


@asynccontextmanager
async def open_clients(settings: ServicesSettings, desk: Desk | None = None) -> AsyncIterator[Clients]:
    """Make the clients. Connections are made when they are needed, and closed at the end.

    A service without a URL is no fault here; each call of it raises ServiceUnreachable.

    Args:
        settings: where the services are, and by which transport they are asked.
        desk: for those that are asked through their queues.
    """
    over_http: list[HttpTransport] = []

    def transport(name: str) -> Transport:
        service: ServiceSettings = getattr(settings, name)
        if service.transport == "queue" and desk is not None:
            return QueueTransport(name, service, desk)
        over_http.append(HttpTransport(name, service))
        return over_http[-1]

    try:
        yield Clients(
            conversation=ConversationClient(transport("conversation")),
            agent_management=AgentManagementClient(transport("agent_management")),
            agent_execution=AgentExecutionClient(transport("agent_execution")),
            workflow_engine=WorkflowEngineClient(transport("workflow_engine")),
            tool_registry=ToolRegistryClient(transport("tool_registry")),
            query=QueryClient(transport("query")),
            embedding=EmbeddingClient(transport("embedding")),
        )
    finally:
        with trio.CancelScope(shield=True):
            for opened in over_http:
                await opened.aclose()
