"""Running trio under a command, and what Ctrl-C does to it."""

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio

from cli.failures import failure_in

T = TypeVar("T")


def run_trio(run: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Run `run(*arguments)`, and raise the failure that ended it without the groups of its nurseries.

    Raises:
        CliFailure: what ended it.
    """
    try:
        return trio.run(run, *arguments)
    except BaseExceptionGroup as group:
        failure = failure_in(group)
        if failure is None:
            raise
        raise failure from None


@contextmanager
def ungrouped() -> Iterator[None]:
    """Let the one exception that ends a nursery leave it as itself, so that `except` finds it."""
    try:
        yield
    except BaseExceptionGroup as group:
        only: BaseException = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if isinstance(only, BaseExceptionGroup):
            raise
        raise only from only.__cause__


async def until_interrupted(work: Callable[[], Awaitable[object]]) -> bool:
    """Run `work` until it ends or SIGINT or SIGTERM comes; returns whether a signal did.

    A signal is read as an event, so it never breaks into the middle of something as KeyboardInterrupt would.
    """
    interrupted = False

    async def watch() -> None:
        nonlocal interrupted
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                interrupted = True
                nursery.cancel_scope.cancel()
                return

    with ungrouped():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await work()
            nursery.cancel_scope.cancel()
    return interrupted
