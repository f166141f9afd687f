"""The body of one HTTP answer: bounded, under a deadline, and left so that the connection is either good or closed."""

import math
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Final, Self, cast

import httpcore
import trio

from orchestrator.clients.transport.answers import title
from orchestrator.clients.transport.connections import HTTPExchange
from orchestrator.clients.transport.responses import MAX_STREAM_BYTES, too_large
from orchestrator.errors import BadGateway, CallTimeout, ServiceUnreachable

MAX_ANSWER_BYTES: Final = 8 * 2**20


class HttpPieces:
    """The pieces of a body as they arrive; an async context manager.

    Args:
        service: who answers.
        exchange: whose head is there, and whose body is not yet read.
        deadline: of the whole body, on trio's clock.
        idle: the longest silence between two pieces, in seconds.
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
        # httpcore's generators would complain if they were dropped half-way: a cancelled read unwinds them, innermost
        # first, and closes the connection. Whatever breaks by then breaks a connection that is given up.
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()
            with suppress(httpcore.NetworkError, httpcore.ProtocolError):
                while not self._ended:
                    await self._next()
        await self._exchange.end()

    async def receive(self) -> bytes | None:
        """Return the next piece; None at the end.

        Raises:
            CallTimeout: nothing came for the idle time, or the deadline is over.
            ServiceUnreachable: the connection broke.
            BadGateway: the body was cut off, or is larger than is taken.
        """
        with trio.CancelScope(deadline=min(self._deadline, trio.current_time() + self._idle)) as scope:
            try:
                part = await self._next()
            except httpcore.NetworkError as error:
                raise ServiceUnreachable(
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
        BadGateway: it is larger than `MAX_ANSWER_BYTES`; and what `HttpPieces.receive` raises.
    """
    raw = await pieces.receive() or b""
    while piece := await pieces.receive():
        raw += piece
        if len(raw) > MAX_ANSWER_BYTES:
            raise too_large(pieces.service)
    return raw
