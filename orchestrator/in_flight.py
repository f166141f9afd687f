"""What the application is at work on: a stop waits for that, and for nothing else."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from attrs import define, field


@define(eq=False)
class InFlight:
    """The application as the server sees it, with a count of the requests and sockets in it.

    Hypercorn (0.18) leaves a connection lying until its graceful timeout where the next request came in before the
    last answer was through: so it is not asked whether all is done.
    """

    app: Callable[..., Awaitable[None]]
    _count: int = 0
    _changed: trio.Event = field(factory=trio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, one socket, or the lifespan, which does not count."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        self._count += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._count -= 1
            self._changed.set()
            self._changed = trio.Event()

    async def idle(self) -> None:
        """Wait until nothing is in flight."""
        while self._count:
            await self._changed.wait()
