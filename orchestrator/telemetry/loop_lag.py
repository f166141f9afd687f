"""How late the event loop is, and how busy: the figures that tell of code which holds everybody up."""

import time
from collections.abc import Callable
from typing import Final, Self

import trio
from attrs import define, field, frozen

EVERY: Final = 0.5
"""Seconds between two looks."""


async def watch_loop(observe: Callable[[float], None]) -> None:
    """Report how much later than it was due this task runs (s), for ever."""
    while True:
        due = trio.current_time() + EVERY
        await trio.sleep_until(due)
        observe(trio.current_time() - due)


@frozen
class LoopTime:
    """Time of an event loop so far, in seconds."""

    total: float
    idle: float
    """Of these it waited, with no task that could run."""

    def busy_since(self, before: Self) -> float:
        """Return the share of the time since `before` in which the loop did not wait."""
        total = self.total - before.total
        return 1 - min(1.0, max(0.0, (self.idle - before.idle) / total)) if total > 0 else 0.0


@define(eq=False)
class LoopClock(trio.abc.Instrument):
    """Measures how long the event loop waits; costs two readings of the clock whenever it does."""

    _idle: float = field(default=0.0, init=False)
    _since: float | None = field(default=None, init=False)

    def before_io_wait(self, timeout: float) -> None:
        """Note that no task can run, if so."""
        if timeout > 0:
            self._since = time.perf_counter()

    def after_io_wait(self, timeout: float) -> None:
        """Note the end of the wait."""
        if self._since is not None:
            self._idle += time.perf_counter() - self._since
            self._since = None

    def read(self) -> LoopTime:
        """Return the time so far."""
        return LoopTime(time.perf_counter(), self._idle)
