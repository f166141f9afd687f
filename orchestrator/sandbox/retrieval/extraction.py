"""Extractive answers: composed of passages, without a model."""

from collections.abc import Sequence
from typing import Any, Final

from orchestrator.sandbox.retrieval.index import Hit, words
from orchestrator.sandbox.retrieval.passages import blocks

LEAST_SCORE: Final = 0.06
"""Least score of a passage that is used."""
_LENGTH: Final = 900
_EXCERPT: Final = 240


def extract(question: str, hits: Sequence[Hit]) -> str:
    """Compose an answer of the relevant blocks of the best passage, and links to the next ones."""
    good = [hit for hit in hits if hit.score >= LEAST_SCORE]
    if not good:
        return "The documentation says nothing about that. Ask about sessions, queues, tenants, agents or the commands."
    best = good[0]
    answer = f"**{best.passage.heading}** ({best.passage.path})\n\n{_relevant(question, best.passage.content)}"
    others = list(dict.fromkeys((hit.passage.heading, hit.passage.path) for hit in good[1:3]))
    others = [(heading, path) for heading, path in others if heading != best.passage.heading]
    if others:
        answer += "\n\nSee also: " + "; ".join(f"{heading} ({path})" for heading, path in others) + "."
    return answer


def sources(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Return the sources of an answer."""
    return [
        {
            "title": hit.passage.title,
            "path": hit.passage.path,
            "heading": hit.passage.heading,
            "score": hit.score,
            "excerpt": _shorten(hit.passage.content),
        }
        for hit in hits
        if hit.score >= LEAST_SCORE
    ]


def _relevant(question: str, content: str) -> str:
    """Return the blocks with most words in common with the question, in their order, up to a readable length."""
    asked = set(words(question))
    parts = list(blocks(content))
    # Among equals the first block wins: it introduces the others.
    order = sorted(range(len(parts)), key=lambda index: (-len(asked & set(words(parts[index]))), index))
    taken: list[int] = []
    length = 0
    for index in order:
        if taken and length + len(parts[index]) > _LENGTH:
            continue
        taken.append(index)
        length += len(parts[index])
    return "\n\n".join(parts[index] for index in sorted(taken))


def _shorten(content: str) -> str:
    text = " ".join(content.split())
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1].rsplit(" ", 1)[0] + "…"
