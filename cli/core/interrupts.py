"""Running trio under a command, and its handling of Ctrl-C and SIGTERM."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf
from typing import Any, TypeVar

import trio

from cli.core.failures import failure_in
from cli.system.endings import ending_signals

T = TypeVar("T")


def run_trio(run: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Run `run(*arguments)` on trio; a failure leaves it without the exception groups of nurseries.

    Raises:
        CliFailure: the failure that ended the run.
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
    """Raise the only exception of a group as itself, so that `except` catches it."""
    try:
        yield
    except BaseExceptionGroup as group:
        only: BaseException = group
        while isinstance(only, BaseExceptionGroup) and len(only.exceptions) == 1:
            only = only.exceptions[0]
        if isinstance(only, BaseExceptionGroup):
            raise
        raise only from only.__cause__


class Interrupted(Exception):
    """Ctrl-C came before some work had ended."""


class Interrupts:
    """Ctrl-C as a message to the block of code that currently handles it.

    The signal is received as an event, so unlike KeyboardInterrupt it stops no code at an arbitrary point. A signal
    before the first such block ends the run; one between two of them came too late for the last one, and is dropped.
    """

    def __init__(self) -> None:
        self._listener: trio.MemorySendChannel[None] | None = None
        self.quiet_since = -inf
        """The end of the last block that handled Ctrl-C, on trio's clock."""

    @contextmanager
    def caught(self) -> Iterator[trio.MemoryReceiveChannel[None]]:
        """Yield a channel with a message for each Ctrl-C inside the block."""
        before = self._listener
        # Keys repeat faster than they are handled; the second Ctrl-C is the last that means something.
        self._listener, presses = trio.open_memory_channel[None](2)
        try:
            yield presses
        finally:
            self._listener, self.quiet_since = before, trio.current_time()

    async def until_pressed(self, work: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run `work(*arguments)`, and give it up at a Ctrl-C.

        Raises:
            Interrupted: Ctrl-C came first.
        """
        with self.caught() as presses, ungrouped():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_give_up, presses)
                result = await work(*arguments)
                nursery.cancel_scope.cancel()
        return result

    async def listen(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Pass SIGINT on, until cancelled.

        Raises:
            KeyboardInterrupt: it came before there was anything to pass it to, or another signal ends the command.
        """
        with trio.open_signal_receiver(signal.SIGINT, *ending_signals()) as signals:
            task_status.started()
            async for number in signals:
                if number != signal.SIGINT:
                    raise KeyboardInterrupt
                if self._listener is not None:
                    with suppress(trio.WouldBlock):
                        self._listener.send_nowait(None)
                elif self.quiet_since == -inf:
                    raise KeyboardInterrupt


async def _give_up(presses: trio.MemoryReceiveChannel[None]) -> None:
    await presses.receive()
    raise Interrupted


@asynccontextmanager
async def open_interrupts() -> AsyncIterator[Interrupts]:
    """Handle SIGINT inside the block."""
    interrupts = Interrupts()
    with ungrouped():
        async with trio.open_nursery() as nursery:
            await nursery.start(interrupts.listen)
            yield interrupts
            nursery.cancel_scope.cancel()


async def until_signalled(work: Callable[[], Awaitable[T]]) -> T | signal.Signals:
    """Run `work` until it ends or a signal ends it; returns its result, or the signal."""
    result: T | signal.Signals

    async def watch(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal result
        with trio.open_signal_receiver(signal.SIGINT, *ending_signals()) as signals:
            task_status.started()
            async for number in signals:
                result = signal.Signals(number)
                nursery.cancel_scope.cancel()
                return

    with ungrouped():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch)
            result = await work()
            nursery.cancel_scope.cancel()
    return result
