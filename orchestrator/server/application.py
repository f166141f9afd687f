"""The application's side of a connection: a task a request, and the messages that wait for it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import AppWrapper

from orchestrator.config.constants import ARRIVED_EXTENSION

_LAST: Final = frozenset({"http.disconnect", "websocket.disconnect"})
_log = structlog.get_logger("orchestrator.server")


class Inbox:
    """The messages that wait for the application.

    Their number is bounded, and a `put` waits for room; the disconnect always finds room, and is given again and again.
    A `put` to an application that has ended returns at once.

    Args:
        size: messages that may wait.
    """

    __slots__ = ("_arriving", "_last", "_messages")

    def __init__(self, size: int) -> None:
        self._arriving, self._messages = trio.open_memory_channel[Any](size)
        self._last: Any = None

    async def put(self, message: Any) -> None:
        """Hand a message to the application."""
        if message["type"] in _LAST:
            self._last = message
            self._arriving.close()
            return
        try:
            await self._arriving.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()

    async def receive(self) -> Any:
        """Wait for the next message."""
        try:
            return await self._messages.receive()
        except trio.EndOfChannel:
            return self._last

    def take_now(self) -> Any:
        """Return a message that waits; None where there is none, and of a disconnect."""
        try:
            return self._messages.receive_nowait()
        except (trio.WouldBlock, trio.EndOfChannel):
            return None

    def leave(self) -> None:
        """Take note that the application reads no more."""
        self._messages.close()


class ApplicationTasks(TaskGroup):
    """The tasks of a connection; what an application raises is logged, and ends its request alone."""

    async def __aenter__(self) -> Self:
        """Begin."""
        await super().__aenter__()
        return self

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Any, send: Callable[[Any], Awaitable[None]]
    ) -> Callable[[Any], Awaitable[None]]:
        """Run the application on a scope; returns what hands it messages."""
        inbox = Inbox(config.max_app_queue_size)
        assert self._nursery is not None  # noqa: S101 - there is one from entering to leaving
        self._nursery.start_soon(_run, app, scope, inbox, send)
        return inbox.put


async def _run(app: AppWrapper, scope: Any, inbox: Inbox, send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        scope["extensions"][ARRIVED_EXTENSION] = inbox.take_now
    try:
        try:
            await app(scope, inbox.receive, send, trio.to_thread.run_sync, trio.from_thread.run)
        finally:
            inbox.leave()
    except* Exception:  # noqa: BLE001 - the boundary of a request: reported here, answered by `send(None)`
        _log.exception("application.failed", type=scope["type"], path=scope["path"])
    await send(None)
