"""Embedding: turns texts into vectors. Plain bodies, passed on as they are."""

from typing import Any

from attrs import frozen

from orchestrator.clients.answers import Answer
from orchestrator.clients.query import successful
from orchestrator.clients.transport import Transport
from orchestrator.models.call import CallContext


@frozen
class EmbeddingClient:
    """Calls Embedding; every method raises what `Transport.request` raises."""

    transport: Transport

    async def embed(self, call: CallContext, body: dict[str, Any]) -> Answer:
        """Embed texts: `embeddings`, `model`, `dimensions`, `total_tokens`."""
        return successful(await self.transport.request(call, "POST", "/api/v1/internal/enhanced_embed", body))
