"""The event streams that this process is sending: each ends when its token expires or is revoked, as sockets do."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import define, field

from orchestrator.errors import Unauthorized
from orchestrator.models.common.principal import Principal
from orchestrator.store.events.events import FrameWriter


@define(eq=False)
class StreamToken:
    """The token that a stream was asked for with.

    Args:
        principal: its holder.
        revoked: tells whether it is revoked.
    """

    _principal: Principal
    _revoked: Callable[[Principal], bool]
    _waiting: trio.CancelScope | None = field(default=None, init=False)

    def check(self) -> None:
        """Look at the token.

        Raises:
            Unauthorized: it is good no more.
        """
        if self._revoked(self._principal):
            raise Unauthorized("The token has been revoked.")
        if self._principal.expires_at <= time.time():
            raise Unauthorized("The token has expired.")

    def waiting(self, seconds: float) -> trio.CancelScope:
        """Return the scope of a wait, which is cut short when the token expires or is revoked; `check` says which.

        Args:
            seconds: after which it is cut short in any case.
        """
        seconds = min(seconds, self._principal.expires_at - time.time())
        self._waiting = trio.CancelScope(deadline=trio.current_time() + seconds)
        return self._waiting

    @property
    def waits(self) -> bool:
        """Whether what waits, if anything does, is not about to be cut short."""
        return self._waiting is not None and not self._waiting.cancel_called

    def end_if_revoked(self) -> None:
        """Cut short what waits, where the token is revoked."""
        if self._waiting is not None and self._revoked(self._principal):
            self._waiting.cancel()


class OpenStreams:
    """Keeps the open streams of the process.

    Args:
        revoked: tells whether the token that a principal came with is revoked.
        write: writes their events, as the sockets of the default dialect get them.
    """

    def __init__(self, revoked: Callable[[Principal], bool], write: FrameWriter) -> None:
        self._revoked = revoked
        self.write = write
        self._open: set[StreamToken] = set()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def keep(self, principal: Principal) -> Iterator[StreamToken]:
        """Keep a stream for the length of the block.

        Raises:
            Unauthorized: its token has been revoked, or has expired, since it was looked at.
        """
        token = StreamToken(principal, self._revoked)
        self._open.add(token)
        try:
            token.check()
            yield token
        finally:
            self._open.discard(token)

    def end_revoked(self) -> None:
        """End every stream whose token is revoked."""
        for token in tuple(self._open):
            token.end_if_revoked()
