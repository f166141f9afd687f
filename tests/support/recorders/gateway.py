"""The gateway's side of the routes: keeps what it is asked, and streams what tests say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import define, field

from orchestrator.errors import OrchestratorError
from orchestrator.models.common.principal import RequestContext


@define
class GatewayRecorder:
    """Answers every request alike."""

    pieces: list[bytes | OrchestratorError] = field(factory=list)
    """What a stream brings, or breaks with."""
    asked: list[tuple[str, str, dict[str, Any]]] = field(factory=list)
    """Operation, tenant and body of each request."""
    refusal: OrchestratorError | None = None
    """What a stream is refused with."""
    left: int = 0
    """How many streams were closed."""

    async def generate(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("generate", ctx.tenant_id, body))
        return {"data": {"response": "42"}}

    async def search(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("search", ctx.tenant_id, body))
        return {"results": []}

    async def embed(self, ctx: RequestContext, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(("embed", ctx.tenant_id, body))
        return {"embeddings": []}

    @asynccontextmanager
    async def stream(self, ctx: RequestContext, body: dict[str, Any]) -> AsyncIterator["GatewayRecorder"]:
        if self.refusal is not None:
            raise self.refusal
        try:
            yield self
        finally:
            self.left += 1

    async def receive(self) -> bytes | None:
        piece = self.pieces.pop(0) if self.pieces else None
        if isinstance(piece, OrchestratorError):
            raise piece
        return piece
