"""Body of one HTTP answer: bounded, under a deadline; afterwards the connection is reusable or closed."""

import math
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Final, Self, cast

import httpcore
import trio

from orchestrator.clients.transport.answers import title
from orchestrator.clients.transport.connections import HTTPExchange
from orchestrator.clients.transport.responses import MAX_STREAM_BYTES, too_large
from orchestrator.errors import BadGateway, CallTimeout, ConnectionBroken

MAX_ANSWER_BYTES: Final = 8 * 2**20


class HttpPieces:
    """Pieces of a body; an async context manager.

    Args:
        service: name of the service that answers.
        exchange: with the head received, and the body not yet read.
        deadline: of the whole body, on trio's clock.
        idle: longest silence between two pieces, in seconds.
    """

    def __init__(
        self, service: str, exchange: HTTPExchange, *, deadline: float = math.inf, idle: float = math.inf
    ) -> None:
        self.service = service
        self._deadline = deadline
        self._idle = idle
        self._exchange = exchange
        self._parts = cast("AsyncIterable[bytes]", exchange.response.stream).__aiter__()
        self._ended = False
        self._size = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        # Generators of httpcore that are dropped unfinished make trio warn: a cancelled read unwinds them, innermost
        # first, and closes the connection. Errors are ignored: the connection is given up anyway.
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()
            with suppress(httpcore.NetworkError, httpcore.ProtocolError):
                while not self._ended:
                    await self._next()
        await self._exchange.end()

    @property
    def framed(self) -> bool:
        """Whether the head gives the length of the body, or its chunks do; else the connection's end is the body's."""
        names = {name.lower() for name, _ in self._exchange.response.headers}
        return b"content-length" in names or b"transfer-encoding" in names

    async def receive(self) -> bytes | None:
        """Return the next piece; None at the end.

        Raises:
            CallTimeout: no piece came in the idle time, or the deadline has passed.
            ConnectionBroken: the connection broke.
            BadGateway: the body was cut off.
            InvalidAnswer: it is too large.
        """
        with trio.CancelScope(deadline=min(self._deadline, trio.current_time() + self._idle)) as scope:
            try:
                part = await self._next()
            except httpcore.NetworkError as error:
                raise ConnectionBroken(
                    f"The connection to {title(self.service)} broke in the middle of an answer.", service=self.service
                ) from error
            except httpcore.RemoteProtocolError as error:
                raise BadGateway(
                    f"{title(self.service)} broke its answer off: {error}.", service=self.service
                ) from error
        if scope.cancelled_caught:
            raise CallTimeout(f"{title(self.service)} fell silent in the middle of an answer.", service=self.service)
        self._size += len(part or b"")
        if self._size > MAX_STREAM_BYTES:
            raise too_large(self.service)
        return part

    async def _next(self) -> bytes | None:
        try:
            return await self._parts.__anext__()
        except StopAsyncIteration:
            self._ended = True
            return None


async def read_whole(pieces: HttpPieces) -> bytes:
    """Return a whole body.

    Raises:
        InvalidAnswer: the body is larger than `MAX_ANSWER_BYTES`; and what `HttpPieces.receive` raises.
    """
    raw = await pieces.receive() or b""
    while piece := await pieces.receive():
        raw += piece
        if len(raw) > MAX_ANSWER_BYTES:
            raise too_large(pieces.service)
    return raw
