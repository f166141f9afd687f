"""Embedding: turns texts into vectors. Bodies are plain fields, passed through unchanged."""

from typing import Any, Final

from attrs import frozen

from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.messages import successful
from orchestrator.clients.transport.transport import Transport
from orchestrator.models.common.call import CallContext
from orchestrator.models.downstream.operation import Operation, Owner, PlanAccess

CREATE: Final = Operation(
    "embedding",
    "create",
    "POST",
    "/api/v1/internal/enhanced_embed",
    required=("texts",),
    optional=("tenant_id", "model", "collection_id", "agent_id"),
    idempotent=True,
    plan=PlanAccess("embedding:execute", {"collection_id": Owner.TENANT, "agent_id": Owner.TENANT}, ("texts", "model")),
)


@frozen
class EmbeddingClient:
    """Calls Embedding; every method raises what `Transport.call` raises."""

    transport: Transport

    async def embed(self, call: CallContext, body: dict[str, Any]) -> ServiceAnswer:
        """Embed texts: `embeddings`, `model`, `dimensions`, `total_tokens`."""
        return successful(await self.transport.call(call, CREATE, body))


EMBEDDING: Final = ServiceRecord("embedding", EmbeddingClient, (CREATE,))
