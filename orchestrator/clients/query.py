"""Query: retrieval and language models. Bodies are plain fields, passed through unchanged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from attrs import frozen

from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.messages import successful
from orchestrator.clients.transport.responses import Pieces
from orchestrator.clients.transport.transport import Transport
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation, Owner, PlanAccess

_PERMISSION: Final = "query:execute"
_OWNERS: Final = {"collection_id": Owner.TENANT, "agent_id": Owner.TENANT, "conversation_id": Owner.CONVERSATION}
_SEARCHED: Final = ("query", "query_embedding", "similarity_top_k")
_operation = partial(Operation, "query")

GENERATE: Final = _operation(
    "generate",
    "POST",
    "/api/v1/internal/query",
    required=("query",),
    optional=(
        "tenant_id",
        "query_embedding",
        "collection_id",
        "agent_id",
        "conversation_id",
        "similarity_top_k",
        "llm_model",
        "max_tokens",
        "temperature",
        "stream",
    ),
    streams=True,
    plan=PlanAccess(_PERMISSION, _OWNERS, (*_SEARCHED, "llm_model", "max_tokens", "temperature")),
)
SEARCH: Final = _operation(
    "search",
    "POST",
    "/api/v1/internal/search",
    optional=("tenant_id", "query", "query_embedding", "collection_id", "agent_id", "similarity_top_k"),
    idempotent=True,
    plan=PlanAccess(_PERMISSION, _OWNERS, _SEARCHED),
)


@frozen
class QueryClient:
    """Calls Query; every method raises what `Transport.call` raises."""

    transport: Transport

    async def query(self, call: CallContext, body: dict[str, Any]) -> ServiceAnswer:
        """Generate an answer, and return all of it: `data.response`, `data.sources`, `metadata.token_usage`."""
        return successful(await self.transport.call(call, GENERATE, body))

    @asynccontextmanager
    async def query_stream(self, call: CallContext, body: dict[str, Any]) -> AsyncIterator[Pieces]:
        """Generate an answer, and stream its newline-delimited chunks."""
        async with self.transport.stream(call, GENERATE, body) as pieces:
            yield pieces

    async def search(self, call: CallContext, body: dict[str, Any]) -> ServiceAnswer:
        """Search a collection."""
        return successful(await self.transport.call(call, SEARCH, body))


QUERY: Final = ServiceRecord("query", QueryClient, (GENERATE, SEARCH))
