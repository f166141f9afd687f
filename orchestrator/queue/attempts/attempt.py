"""One attempt at a task: fenced writing that outlasts short absences of Redis."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import trio
from attrs import define, field

from orchestrator.errors import StoreUnavailable
from orchestrator.models.common.timestamps import from_timestamp, now_ms
from orchestrator.models.events.events import ChatStream, StreamContent
from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import CancelledBy, TaskMessage
from orchestrator.queue.attempts.delegated_calls import Delegated
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.store.events.frames import make_body

T = TypeVar("T")

_STREAM: Final = "chat.stream"
_PAUSES: Final = (0.05, 0.1, 0.25, 0.5)
"""Seconds between attempts to write while Redis is away; the last one repeats."""


async def outlast(write: Callable[[], Awaitable[T]]) -> T:
    """Repeat a write until Redis is back; the caller's deadline bounds it.

    Every such write may be repeated: it is fenced, and either sets something or is numbered.
    """
    attempt = 0
    while True:
        try:
            return await write()
        except StoreUnavailable:
            await trio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
            attempt += 1


def seconds_since(moment: str) -> float:
    """Return how long ago a moment (RFC 3339) was, in seconds; 0 where clocks disagree."""
    return max(0, now_ms() - from_timestamp(moment)) / 1000


@define(eq=False)
class TaskAttempt:
    """An attempt at a task of whichever kind.

    Args:
        services: what the queue works with.
        hand: the task in hand.
        message: the task, with what is left of its time.
    """

    services: QueueServices
    running: RunningTask
    message: TaskMessage
    checkpoints: Mapping[str, Any] = field(init=False)
    delegations: Delegated = field(init=False)

    @checkpoints.default
    def _checkpoints(self) -> Mapping[str, Any]:
        return self.running.claim.checkpoints()

    @delegations.default
    def _delegations(self) -> Delegated:
        services = self.services
        keep_seconds = int(services.settings.retain_tasks)
        return Delegated(
            services.delegations, services.ownership, keep_seconds, self.running.claim, self.message, outlast
        )

    @property
    def attempt(self) -> int:
        """1, 2, 3…: how often the task was claimed."""
        return self.running.claim.attempt

    @property
    def stopped_by(self) -> CancelledBy | None:
        """Who has stopped the task, so that no later attempt will end it; None: it was not stopped."""
        return self.running.stopped_by

    async def checkpoint(self, name: str, result: Any) -> None:
        """Keep the result of a step for later attempts.

        Raises:
            FencedOut: another worker has taken over.
        """
        await outlast(lambda: self.services.tasks.checkpoint(self.running.claim, name, result))


@define(eq=False)
class TurnAttempt(TaskAttempt):
    """An attempt at a chat turn; what `services.run.Run` asks for."""

    session: Session
    _events: int = field(default=0, init=False)
    _streamed: bool = field(default=False, init=False)
    _order: trio.Lock = field(factory=trio.Lock, init=False)

    async def emit(self, name: str, data: object) -> None:
        """Append an event to the session's log.

        Raises:
            FencedOut: another worker has taken over.
        """
        async with self._order:
            self._events += 1
            number = self._events
            body = make_body(name, data, tenant_id=self.message.tenant_id, correlation_id=self.message.correlation_id)
            text = data.chunk if isinstance(data, ChatStream) and data.content_type is StreamContent.RESPONSE else ""
            await outlast(
                lambda: self.services.tasks.emit(self.running.claim, self.session.session_id, number, name, body, text)
            )
        if name == _STREAM and not self._streamed:
            self._streamed = True
            if self.attempt == 1:
                self.services.metrics.first_token(seconds_since(self.message.created_at))

    async def recent(self) -> list[HistoryMessage]:
        """Return the kept window of the conversation, oldest first."""
        return await self.services.tasks.history(
            self.message.tenant_id, self.session.session_id, self.services.settings.history_length
        )
