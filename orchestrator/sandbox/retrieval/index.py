"""Searching passages: cosine similarity of TF-IDF and of hashed embeddings, by scikit-learn."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from attrs import frozen

from orchestrator.sandbox.retrieval.passages import Passage

DIMENSIONS: Final = 1024
MODEL: Final = "sandbox-hashing-1024"
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


class PassageIndex:
    """An index over all passages of all tenants; a search sees only what its tenant may see.

    Importing scikit-learn takes a second: make the index in a thread, in a process of its own.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        from sklearn.feature_extraction.text import (  # noqa: PLC0415 - optional, and slow to import: only the index needs it
            HashingVectorizer,
            TfidfVectorizer,
        )

        self.passages = list(passages)
        self._hashing = HashingVectorizer(n_features=DIMENSIONS, analyzer=words, alternate_sign=True)
        self._tfidf = TfidfVectorizer(analyzer=words, sublinear_tf=True)
        # Headings count twice: they tell more about a passage than any word of it.
        texts = [f"{passage.title}\n{passage.heading}\n{passage.heading}\n{passage.content}" for passage in passages]
        texts = texts or ["nothing here"]
        self._embedded = self._hashing.transform(texts)
        self._weighted = self._tfidf.fit_transform(texts)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of 1024 numbers and length 1 for each text; equal texts get equal vectors."""
        if not texts:
            return []
        vectors: list[list[float]] = self._hashing.transform(texts).toarray().tolist()
        return vectors

    def collections(self, tenant_id: str) -> set[str]:
        """Return the collections that a tenant may search."""
        return {passage.collection_id for passage in self.passages if passage.tenant_id in {None, tenant_id}}

    def search(
        self, tenant_id: str, collection_id: str, query: str, embedding: Sequence[float] | None, limit: int
    ) -> list[Hit]:
        """Return the passages nearest to a question, best first, without those of score 0."""
        scores: Any = (self._weighted @ self._tfidf.transform([query]).T).toarray().ravel()
        if embedding is not None:
            scores = (scores + self._embedded @ embedding) / 2
        hits = [
            Hit(passage, round(float(score), 4))
            for passage, score in zip(self.passages, scores, strict=False)
            if score > 0 and passage.collection_id == collection_id and passage.tenant_id in {None, tenant_id}
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]
