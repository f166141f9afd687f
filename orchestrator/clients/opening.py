"""All seven clients, opened and closed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import fields, frozen

from orchestrator.clients.agent_execution import AgentExecutionClient
from orchestrator.clients.agent_management import AgentManagementClient
from orchestrator.clients.conversation import ConversationClient
from orchestrator.clients.embedding import EmbeddingClient
from orchestrator.clients.http_transport import HttpTransport
from orchestrator.clients.query import QueryClient
from orchestrator.clients.tool_registry import ToolRegistryClient
from orchestrator.clients.transport import Transport
from orchestrator.clients.workflow_engine import WorkflowEngineClient
from orchestrator.config.settings import ServicesSettings


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
async def open_clients(settings: ServicesSettings) -> AsyncIterator[Clients]:
    """Make the clients. Connections are made when they are needed, and closed at the end.

    A service without a URL is no fault here; each call of it raises ServiceUnreachable.
    """
    transports = {
        attribute.name: HttpTransport(attribute.name, getattr(settings, attribute.name))
        for attribute in fields(ServicesSettings)
    }
    try:
        yield Clients(
            conversation=ConversationClient(transports["conversation"]),
            agent_management=AgentManagementClient(transports["agent_management"]),
            agent_execution=AgentExecutionClient(transports["agent_execution"]),
            workflow_engine=WorkflowEngineClient(transports["workflow_engine"]),
            tool_registry=ToolRegistryClient(transports["tool_registry"]),
            query=QueryClient(transports["query"]),
            embedding=EmbeddingClient(transports["embedding"]),
        )
    finally:
        with trio.CancelScope(shield=True):
            for transport in transports.values():
                await transport.aclose()
