"""Packs what has ended here, a moment later: by then those who wait for an answer have read it.

It leaves a busy event loop to the tasks, and Redis to a rush of tasks that are over at once: what ends then is packed
when there is time, or when much of it waits.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import trio
from attrs import define, field

from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.tenant_isolation import isolate_tenant
from orchestrator.store.tasks.claims import Claim

DELAY_SECONDS: Final = 1.0
"""Turns that follow each other within that time are packed together."""
_AT_ONCE: Final = 32
RUSH: Final = 50
"""So many ends in a quarter of a second are a rush."""
MUCH: Final = 5000
"""So many that wait are packed although there is no time."""
_MOST: Final = 10_000
"""So many wait; what is beyond stays unpacked, which costs memory alone."""


@define(eq=False)
class Packer:
    """Remembers what has ended, and packs it.

    Args:
        services: what the queue works with.
        busy: says whether the event loop has no time.
    """

    services: QueueServices
    busy: Callable[[], bool] = lambda: False
    _tasks: OrderedDict[tuple[str, str], float] = field(factory=OrderedDict, init=False)
    """Moments from which on records may be packed, by tenant and task."""
    _logs: OrderedDict[tuple[str, str], float] = field(factory=OrderedDict, init=False)
    """The same for event logs, by tenant and session."""
    _noted: int = field(default=0, init=False)
    """Ends since the last look."""
    _rush: bool = field(default=False, init=False)
    _woken: trio.Event = field(factory=trio.Event, init=False)

    def note(self, claim: Claim) -> None:
        """Take note that an attempt is over; whether the task has ended is seen when it is packed."""
        due = trio.current_time() + DELAY_SECONDS
        self._noted += 1
        if len(self._tasks) < _MOST:
            self._tasks[claim.tenant_id, claim.task_id] = due
        if claim.session is not None and len(self._logs) < _MOST:
            self._logs.setdefault((claim.tenant_id, claim.session.session_id), due)
        self._woken.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pack for ever.

        Raises:
            StoreUnavailable: Redis is away; what was to be packed at that moment stays unpacked.
        """
        task_status.started()
        while True:
            await self._woken.wait()
            self._woken = trio.Event()
            while self._tasks or self._logs:
                self._rush, self._noted = self._noted >= RUSH, 0
                while due := self._take_due():
                    for tenant_id, (tasks, sessions) in due.items():
                        with isolate_tenant(tenant_id):
                            await self.services.packing.pack(tenant_id, tasks, sessions)
                await trio.sleep(DELAY_SECONDS / 4)

    def _take_due(self) -> dict[str, tuple[list[str], list[str]]]:
        """Take some that may be packed now: tasks and sessions, by tenant."""
        due: dict[str, tuple[list[str], list[str]]] = {}
        for place, waiting in enumerate((self._tasks, self._logs)):
            for _ in range(_AT_ONCE):
                if not self._has_time(waiting) or next(iter(waiting.values())) > trio.current_time():
                    break
                (tenant_id, name), _due = waiting.popitem(last=False)
                due.setdefault(tenant_id, ([], []))[place].append(name)
        return due

    def _has_time(self, waiting: OrderedDict[tuple[str, str], float]) -> bool:
        """Tell whether one of those that wait may be packed now."""
        return len(waiting) > (MUCH if self._rush or self.busy() else 0)
