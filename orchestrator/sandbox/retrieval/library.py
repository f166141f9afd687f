"""The index, made while everything else already answers."""

from contextlib import suppress
from pathlib import Path

import trio

from orchestrator.sandbox.retrieval.index import PassageIndex
from orchestrator.sandbox.retrieval.passages import load_passages


class NoRetrieval(Exception):
    """scikit-learn is not installed."""


class Library:
    """Makes the index when it is first needed, or ahead of that, and gives it to whoever asks."""

    def __init__(self, docs: Path, documents: Path) -> None:
        self._docs = docs
        self._documents = documents
        self._making = trio.Lock()
        self._index: PassageIndex | None = None

    async def prepare(self) -> None:
        """Make the index ahead of the first question; where it can't be made, the question will be told so."""
        with suppress(NoRetrieval):
            await self.index()

    async def index(self) -> PassageIndex:
        """Return the index.

        Raises:
            NoRetrieval: it can't be made here.
        """
        async with self._making:
            if self._index is None:
                try:
                    # A second of importing and computing, in which the server goes on answering.
                    self._index = await trio.to_thread.run_sync(self._make)
                except ModuleNotFoundError as error:
                    if error.name != "sklearn":
                        raise
                    hint = "Retrieval needs scikit-learn: pip install 'nooble-orch[sandbox]'."
                    raise NoRetrieval(hint) from error
            return self._index

    def _make(self) -> PassageIndex:
        return PassageIndex(load_passages(self._docs, self._documents))
