"""How a socket is closed: the last frames, the close frame, the client's answer, each with a deadline."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import frozen

from orchestrator.websocket.wire import Wire

NORMAL, INTERNAL, TOKEN, UNKNOWN, TOO_SLOW = 1000, 1011, 4003, 4004, 4008
"""Codes of close frames."""
CLOSE_SECONDS: Final = 3.0
"""How long the client may take to read the last frames, and then to answer the close frame."""


@frozen
class Goodbye:
    """Why a socket ends, and what is said before."""

    code: int
    """Of the close frame."""
    reason: str
    """Of the close frame, a few words."""
    name: str | None
    """An event to send before."""
    data: object
    """Its model."""


async def within_deadline(wire: Wire, say: Callable[[], Awaitable[None]]) -> None:
    """Run `say`, which sends the last frames, or drop the connection where the client does not read them.

    Not to be cancelled from outside: it ends in time by itself.
    """
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_and_then_cancel, say, nursery.cancel_scope)
            await trio.sleep(CLOSE_SECONDS)
            await wire.abort()
            nursery.cancel_scope.cancel()


async def _and_then_cancel(say: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
    await say()
    scope.cancel()


async def abort(wire: Wire) -> None:
    """Drop the connection although this task is cancelled: nothing may stay stuck in a write."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
        await wire.abort()


async def drain(wire: Wire) -> None:
    """Read on until the client has closed too: unread frames would reset the connection, close frame and all.

    When the client has gone, the server cancels this task; that is how it ends.
    """
    for last in (False, True):
        with trio.move_on_after(CLOSE_SECONDS):
            while True:
                await wire.receive()
        if not last:
            await wire.abort()
