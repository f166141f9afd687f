"""A nursery whose failure is one exception, not a group of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import trio

from orchestrator.errors import FencedOut, OrchestratorError


@asynccontextmanager
async def open_joined_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery for tasks that succeed or fail together.

    Where several fail at once, the one that says most is raised: that another worker has the task, then a fault
    of our own program, then the first fault of a service; a cancellation from outside where there is nothing else.
    """
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
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
