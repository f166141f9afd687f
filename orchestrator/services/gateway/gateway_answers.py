"""Answers of the gateway, and the fields of embedding requests and answers."""

from collections.abc import Mapping
from typing import Any

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.domain.gateway.gateway_cache import Vector
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault


def texts_of(body: dict[str, Any]) -> list[str]:
    """Return the texts of an embedding request; InvalidBody where they are something else."""
    texts = body.get("texts")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        message = "must be a list of strings, at least one"
        raise InvalidBody(f"$.texts {message}.", details=[FieldFault("$.texts", message)])
    return texts


def embedding_of(answer: ServiceAnswer) -> ServiceAnswer:
    """Return the object with `embeddings`: the answer, or its `data`."""
    return answer if "embeddings" in answer.fields else answer.inner("data")


def with_origin(answer: ServiceAnswer, cache: str) -> dict[str, Any]:
    """Return an answer whose metadata say whether the cache had it (`hit`, `miss`)."""
    return {**answer.fields, "metadata": _metadata(answer.fields, cache=cache)}


def embedded(vectors: list[Vector], answers: list[ServiceAnswer], cached: int) -> dict[str, Any]:
    """Return the answer to an embedding request.

    Args:
        vectors: of all texts.
        answers: of the service, for the texts that were not cached.
        cached: number of texts that were.
    """
    last = answers[-1].fields if answers else {"success": True}
    return {
        **last,
        "embeddings": [vector.numbers for vector in vectors],
        "model": vectors[0].model,
        "dimensions": len(vectors[0].numbers),
        "total_tokens": sum(answer.whole("total_tokens") for answer in answers),
        "metadata": _metadata(last, cache="miss" if answers else "hit", cached_texts=cached),
    }


def _metadata(fields: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    metadata = fields.get("metadata")
    return {**(metadata if isinstance(metadata, dict) else {}), **more}
