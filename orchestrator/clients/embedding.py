"""Embedding: turns texts into vectors. Plain bodies, passed on as they are."""

from typing import Any, Final

from attrs import frozen

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.messages import successful
from orchestrator.clients.transport.transport import Transport
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.service_operations import OPERATIONS

CREATE: Final = OPERATIONS["embedding", "create"]


@frozen
class EmbeddingClient:
    """Calls Embedding; every method raises what `Transport.call` raises."""

    transport: Transport

    async def embed(self, call: CallContext, body: dict[str, Any]) -> ServiceAnswer:
        """Embed texts: `embeddings`, `model`, `dimensions`, `total_tokens`."""
        return successful(await self.transport.call(call, CREATE, body))
