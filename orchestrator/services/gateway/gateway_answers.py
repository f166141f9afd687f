"""How the gateway's answers are written, and what an embedding request must say."""

from typing import Any

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.domain.gateway.gateway_cache import Vector
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault


def texts_of(body: dict[str, Any]) -> list[str]:
    texts = body.get("texts")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        message = "must be a list of strings, at least one"
        raise InvalidBody(f"$.texts {message}.", details=[FieldFault("$.texts", message)])
    return texts


def told(answer: ServiceAnswer, cache: str) -> dict[str, Any]:
    """Return an answer with a word on where it came from."""
    metadata = answer.fields.get("metadata")
    return {**answer.fields, "metadata": {**(metadata if isinstance(metadata, dict) else {}), "cache": cache}}


def embedded(vectors: list[Vector], answers: list[ServiceAnswer], cached: int) -> dict[str, Any]:
    """Write the answer to an embedding request, of which some texts or all may have been embedded before."""
    last = answers[-1].fields if answers else {"success": True}
    metadata = last.get("metadata")
    return {
        **last,
        "embeddings": [vector.numbers for vector in vectors],
        "model": vectors[0].model,
        "dimensions": len(vectors[0].numbers),
        "total_tokens": sum(answer.whole("total_tokens") for answer in answers),
        "metadata": {
            **(metadata if isinstance(metadata, dict) else {}),
            "cache": "miss" if answers else "hit",
            "cached_texts": cached,
        },
    }
