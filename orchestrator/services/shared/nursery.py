"""A nursery whose failure is one exception, not a group of them."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import trio

from orchestrator.errors import FencedOut, OrchestratorError


def open_joined_nursery() -> AbstractAsyncContextManager[trio.Nursery]:
    """Open a nursery for tasks that succeed or fail together.

    Where several fail at once, the one that says most is raised: that another worker has the task, then a fault
    of our own program, then the first fault of a service; a cancellation from outside where there is nothing else.
    """
    return _JoinedNursery()


class _JoinedNursery:
    """The block of such a nursery; a class, since a generator for each costs as much as a task does."""

    __slots__ = ("_opened",)

    async def __aenter__(self) -> trio.Nursery:
        self._opened = trio.open_nursery()
        return await self._opened.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._opened.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            raise min(_leaves(group), key=_rank) from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _rank(error: BaseException) -> int:
    if isinstance(error, FencedOut):
        return 0
    if isinstance(error, trio.Cancelled):
        return 3
    return 2 if isinstance(error, OrchestratorError) else 1
