"""Query: retrieval and language models. Plain bodies, passed on as they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from attrs import frozen

from orchestrator.clients.answers import Answer
from orchestrator.clients.refusals import told_error
from orchestrator.clients.responses import Pieces
from orchestrator.clients.transport import Transport
from orchestrator.models.call import CallContext

_QUERY: Final = "/api/v1/internal/query"


@frozen
class QueryClient:
    """Calls Query; every method raises what `Transport.request` raises."""

    transport: Transport

    async def query(self, call: CallContext, body: dict[str, Any]) -> Answer:
        """Ask, and return the whole answer: `data.response`, `data.sources`, `metadata.token_usage`."""
        return successful(await self.transport.request(call, "POST", _QUERY, body))

    @asynccontextmanager
    async def query_stream(self, call: CallContext, body: dict[str, Any]) -> AsyncIterator[Pieces]:
        """Ask, and hand out the newline-delimited chunks as they come."""
        async with self.transport.stream(call, _QUERY, body) as pieces:
            yield pieces

    async def search(self, call: CallContext, body: dict[str, Any]) -> Answer:
        """Search a collection."""
        return successful(await self.transport.request(call, "POST", "/api/v1/internal/search", body))


def successful(answer: Answer) -> Answer:
    """Return an answer of level 3 that does not say `success: false`.

    Raises:
        ServiceRefused, BadGateway: it says so; its own code is in `details`.
    """
    if answer.truth("success", default=True):
        return answer
    error = answer.fields.get("error")
    raise told_error(answer.service, error if isinstance(error, dict) else answer.fields)
