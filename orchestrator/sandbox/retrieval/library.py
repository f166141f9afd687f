"""The index, made in the background while everything else already answers."""

from pathlib import Path

import trio

from orchestrator.sandbox.retrieval.index import PassageIndex
from orchestrator.sandbox.retrieval.passages import load_passages


class NoRetrieval(Exception):
    """scikit-learn is not installed."""


class Library:
    """Gives the index to whoever needs it, as soon as it is there."""

    def __init__(self, docs: Path, documents: Path) -> None:
        self._docs = docs
        self._documents = documents
        self._ready = trio.Event()
        self._index: PassageIndex | None = None

    async def build(self) -> None:
        """Make the index."""
        try:
            # A second of importing and computing, in which the server goes on answering.
            self._index = await trio.to_thread.run_sync(self._make)
        except ModuleNotFoundError as error:
            if error.name != "sklearn":
                raise
        self._ready.set()

    async def index(self) -> PassageIndex:
        """Return the index, once it is made.

        Raises:
            NoRetrieval: it can't be made here.
        """
        await self._ready.wait()
        if self._index is None:
            raise NoRetrieval("Retrieval needs scikit-learn: pip install 'nooble-orch[sandbox]'.")
        return self._index

    def _make(self) -> PassageIndex:
        return PassageIndex(load_passages(self._docs, self._documents))
