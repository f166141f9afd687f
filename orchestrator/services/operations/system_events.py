"""System events on their way to their stream: the code that publishes one does not wait until it is written."""

from collections import deque
from typing import Final

import structlog
import trio
from attrs import define, field

from orchestrator.errors import StoreUnavailable
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.operations.breakers import BreakerState
from orchestrator.models.operations.system_events import SystemEvent
from orchestrator.store.operations.system_events import SystemEventStore

WAITING: Final = 256
"""Notices that may wait for the store; then the oldest goes."""
LAST_WORD_SECONDS: Final = 1.0
_log = structlog.get_logger("orchestrator.services.operations.system_events")


@define(eq=False)
class SystemEvents:
    """Posts what happens to this process.

    Args:
        store: where notices go.
        node: the name of this process.
    """

    store: SystemEventStore
    node: str
    _waiting: deque[SystemEvent] = field(factory=lambda: deque(maxlen=WAITING), init=False)
    _more: trio.Event = field(factory=trio.Event, init=False)

    def tell(self, name: str, **about: str) -> None:
        """Have a notice posted."""
        self._waiting.append(SystemEvent(name, self.node, to_timestamp(now_ms()), about))
        self._more.set()

    def breaker_changed(self, service: str, state: BreakerState, seconds: float) -> None:
        """Tell of a service that is left alone, probed, or called again."""
        self.tell(f"breaker.{state}", service=service, seconds=f"{seconds:g}")

    async def last(self, count: int) -> list[SystemEvent]:
        """Return the last notices of all processes, the newest first."""
        return await self.store.last(count)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Post notices until cancelled; says that the process has joined, and at the end that it leaves."""
        self.tell("node.joined")
        task_status.started()
        try:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                await self._post()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORD_SECONDS):
                self.tell("node.left")
                await self._post()

    async def _post(self) -> None:
        while self._waiting:
            notice = self._waiting.popleft()
            try:
                await self.store.post(notice)
            except StoreUnavailable as error:
                _log.warning("notice.lost", name=notice.name, reason=error.reason)
