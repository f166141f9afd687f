"""The event streams that this process is sending: each ends when its token expires or is revoked, as sockets do."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import define, field

from orchestrator.errors import Unauthorized
from orchestrator.models.common.principal import Principal


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

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Cut the block short when the token expires or is revoked; `check` says then which of both it was."""
        with trio.CancelScope() as self._waiting:
            self._waiting.deadline = trio.current_time() + self._principal.expires_at - time.time()
            yield
        self._waiting = None

    def end_if_revoked(self) -> None:
        """Cut short what waits, where the token is revoked."""
        if self._waiting is not None and self._revoked(self._principal):
            self._waiting.cancel()


class OpenStreams:
    """Keeps the open streams of the process.

    Args:
        revoked: tells whether the token that a principal came with is revoked.
    """

    def __init__(self, revoked: Callable[[Principal], bool]) -> None:
        self._revoked = revoked
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
