"""A wake-up for one task: lighter than an event, and good for any number of times."""

from typing import Any

import trio


class Wakeup:
    """One task waits; any other rings. Ringing while no task waits does nothing: a task looks before it waits."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: trio.lowlevel.Task | None = None

    def ring(self) -> None:
        """Wake the task that waits, if there is one."""
        if self._waiting is not None:
            trio.lowlevel.reschedule(self._waiting)
            self._waiting = None

    async def wait(self) -> None:
        """Wait until it rings."""
        self._waiting = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._leave)

    def _leave(self, _: Any) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED
