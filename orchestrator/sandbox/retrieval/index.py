"""Searching passages: BM25 by the full-text search of SQLite, and the cosine of hashed embeddings."""

import math
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Final
from zlib import crc32

from attrs import frozen

from orchestrator.sandbox.retrieval.passages import Passage, load_passages

DIMENSIONS: Final = 1024
MODEL: Final = "sandbox-hashed-words-1024"
_HALF: Final = 8.0
"""Rank of BM25 that makes a score of one half; ranks have no upper bound, scores stay below 1."""
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_]+")
_STOP: Final = frozenset(
    """a about am an and any are as at be but by can could did do does for from get had has have how i if in into is
    it its me my no not of on one or our out so some such than that the their them then there these they this those
    to up was we were what when where which who why will with would you your""".split()  # noqa: SIM905  # to be read
)


@lru_cache(maxsize=20_000)
def _stem(word: str) -> str:
    """Cut the commonest English endings, so that `draining tenants` finds `drain a tenant`."""
    for ending, replacement in (("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            stem = word.removesuffix(ending) + replacement
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and ending in {"ing", "ed"} else stem
    return word


def words(text: str) -> list[str]:
    """Return the words of a text without stop words and endings."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP]


@frozen
class Hit:
    """A search result."""

    passage: Passage
    score: float
    """From 0 to 1."""


class PassageIndex:
    """An index over all passages of all tenants; a search sees only what its tenant may see.

    Args:
        passages: what is searched.

    Raises:
        sqlite3.OperationalError: the SQLite of this Python has no full-text search (FTS5).
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = list(passages)
        # Only read once it is made, so that its threads need no order.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        # A name such as `ORCH_LEASE` is one word, as it is for `words`.
        self._database.execute(
            """CREATE VIRTUAL TABLE passages USING fts5(heading, content, tokenize = "unicode61 tokenchars _")"""
        )
        rows = [
            (number, " ".join(words(f"{passage.title} {passage.heading}")), " ".join(words(passage.content)))
            for number, passage in enumerate(self.passages)
        ]
        self._database.executemany("INSERT INTO passages(rowid, heading, content) VALUES (?, ?, ?)", rows)
        self._embedded = [_embed(f"{heading} {heading} {content}".split()) for _, heading, content in rows]

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of 1024 numbers and length 1 for each text; equal texts get equal vectors."""
        vectors = []
        for text in texts:
            vector = [0.0] * DIMENSIONS
            for place, value in _embed(words(text)).items():
                vector[place] = value
            vectors.append(vector)
        return vectors

    def collections(self, tenant_id: str) -> set[str]:
        """Return the collections that a tenant may search."""
        return {passage.collection_id for passage in self.passages if passage.tenant_id in {None, tenant_id}}

    def search(
        self, tenant_id: str, collection_id: str, query: str, embedding: Sequence[float] | None, limit: int
    ) -> list[Hit]:
        """Return the passages that have words of a question, the nearest first; an embedding orders them anew."""
        hits = []
        for number, rank in self._ranks(query).items():
            passage = self.passages[number]
            if passage.collection_id != collection_id or passage.tenant_id not in {None, tenant_id}:
                continue
            score = rank / (rank + _HALF)
            if embedding is not None:
                near = sum(value * embedding[place] for place, value in self._embedded[number].items())
                score = (score + max(near, 0.0)) / 2
            hits.append(Hit(passage, round(score, 4)))
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    def _ranks(self, query: str) -> Mapping[int, float]:
        """Return the BM25 of each passage that has a word of a question, the larger the nearer."""
        asked = set(words(query))
        if not asked:
            return {}
        # Words of the title and the heading tell more about a passage than any word of its text.
        statement = "SELECT rowid, -bm25(passages, 3.0, 1.0) FROM passages WHERE passages MATCH ?"
        return dict(self._database.execute(statement, [" OR ".join(f'"{word}"' for word in sorted(asked))]))


@cache
def open_index(docs: Path, documents: Path) -> PassageIndex:
    """Return the index of two folders, as they were when it was first asked for.

    Args:
        docs: see `load_passages`.
        documents: see `load_passages`.
    """
    return PassageIndex(load_passages(docs, documents))


def _embed(found: Sequence[str]) -> dict[int, float]:
    """Return the places of a vector of length 1 that are not 0, each word hashed to a place and a sign."""
    places: Counter[int] = Counter()
    for word in found:
        hashed = crc32(word.encode())
        places[hashed % DIMENSIONS] += 1 if hashed & 0x8000_0000 else -1
    length = math.sqrt(sum(value * value for value in places.values()))
    return {place: value / length for place, value in places.items() if value}
