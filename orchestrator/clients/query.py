"""Query: retrieval and language models. Plain bodies, passed on as they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from attrs import frozen

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.messages import successful
from orchestrator.clients.transport.responses import Pieces
from orchestrator.clients.transport.transport import Transport
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.service_operations import OPERATIONS

GENERATE: Final = OPERATIONS["query", "generate"]
SEARCH: Final = OPERATIONS["query", "search"]


@frozen
class QueryClient:
    """Calls Query; every method raises what `Transport.call` raises."""

    transport: Transport

    async def query(self, call: CallContext, body: dict[str, Any]) -> ServiceAnswer:
        """Ask, and return the whole answer: `data.response`, `data.sources`, `metadata.token_usage`."""
        return successful(await self.transport.call(call, GENERATE, body))

    @asynccontextmanager
    async def query_stream(self, call: CallContext, body: dict[str, Any]) -> AsyncIterator[Pieces]:
        """Ask, and hand out the newline-delimited chunks as they come."""
        async with self.transport.stream(call, GENERATE, body) as pieces:
            yield pieces

    async def search(self, call: CallContext, body: dict[str, Any]) -> ServiceAnswer:
        """Search a collection."""
        return successful(await self.transport.call(call, SEARCH, body))
