"""The index, built in a thread while the server already answers."""

from contextlib import suppress
from pathlib import Path

import trio

from orchestrator.sandbox.retrieval.index import PassageIndex
from orchestrator.sandbox.retrieval.passages import load_passages


class NoRetrieval(Exception):
    """scikit-learn is not installed."""


class Library:
    """Builds the index at the first use, or ahead of it, once."""

    def __init__(self, docs: Path, documents: Path) -> None:
        self._docs = docs
        self._documents = documents
        self._making = trio.Lock()
        self._index: PassageIndex | None = None

    async def prepare(self) -> None:
        """Build the index ahead of the first question; a failure is reported by the question."""
        with suppress(NoRetrieval):
            await self.index()

    async def index(self) -> PassageIndex:
        """Return the index.

        Raises:
            NoRetrieval: scikit-learn is not installed.
        """
        async with self._making:
            if self._index is None:
                try:
                    # Importing and computing takes a second, in which the server must answer.
                    self._index = await trio.to_thread.run_sync(self._make)
                except ModuleNotFoundError as error:
                    if error.name != "sklearn":
                        raise
                    hint = "Retrieval needs scikit-learn: pip install 'nooble-orch[sandbox]'."
                    raise NoRetrieval(hint) from error
            return self._index

    def _make(self) -> PassageIndex:
        return PassageIndex(load_passages(self._docs, self._documents))
