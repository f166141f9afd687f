"""Embedding: turns texts into vectors, the same text always into the same vector."""

from typing import Final

from orchestrator.clients.embedding import CREATE
from orchestrator.sandbox.retrieval.index import DIMENSIONS, MODEL, PassageIndex
from orchestrator.sandbox.serving.http_server import SandboxReply, json_reply
from orchestrator.sandbox.serving.resources import SandboxResources
from orchestrator.sandbox.serving.routing import SandboxCall, SandboxRefusal, SandboxRoute, StandIn
from orchestrator.sandbox.serving.text import count_tokens
from orchestrator.sandbox.serving.usage import Spent

MAX_TEXTS: Final = 256


class EmbeddingService:
    """The Embedding service."""

    def __init__(self, index: PassageIndex, spent: Spent) -> None:
        self._index = index
        self._spent = spent

    async def create(self, call: SandboxCall) -> SandboxReply:
        """Embed texts."""
        texts = call.get("texts", list)
        if not all(isinstance(text, str) for text in texts):
            raise SandboxRefusal(400, "EMB_VAL_001", "texts must be a list of strings.")
        if not 1 <= len(texts) <= MAX_TEXTS:
            raise SandboxRefusal(400, "EMB_VAL_001", f"texts must hold 1 to {MAX_TEXTS} texts.")
        model = call.get("model", str, MODEL)
        if model != MODEL:
            raise SandboxRefusal(422, "EMB_VAL_002", f"There is no model {model}; there is {MODEL}.")
        total = sum(map(count_tokens, texts))
        embeddings = self._index.embed(texts)
        # No checkpoint from here on: what is counted is also answered, and stored under its idempotency key.
        self._spent.count(call.tenant_id, "embedding", total)
        return json_reply(
            {
                "success": True,
                "embeddings": embeddings,
                "model": MODEL,
                "dimensions": DIMENSIONS,
                "total_tokens": total,
                "metadata": {"collection_id": call.get("collection_id", str, None)},
            }
        )


def stand_in(resources: SandboxResources) -> StandIn:
    """Make the stand-in."""
    service = EmbeddingService(resources.index, resources.spent)
    return StandIn(
        "EMB",
        (SandboxRoute(CREATE, service.create, creates=True),),
    )
