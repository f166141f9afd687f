"""Body of one HTTP answer: bounded, under a deadline; afterwards the connection is reusable or closed."""

import math
from typing import Final, Self

import trio

from orchestrator.clients.transport.answers import title
from orchestrator.clients.transport.connections import HttpExchange
from orchestrator.clients.transport.http_connection import ConnectionLost
from orchestrator.clients.transport.http_head import NotHttp
from orchestrator.clients.transport.responses import MAX_STREAM_BYTES, too_large
from orchestrator.errors import BadGateway, CallTimeout, ConnectionBroken

MAX_ANSWER_BYTES: Final = 8 * 2**20


class HttpPieces:
    """Pieces of a body; a context manager.

    Args:
        service: name of the service that answers.
        exchange: with the head received, and the body not yet read.
        deadline: of the whole body, on trio's clock.
        idle: longest silence between two pieces, in seconds.
    """

    def __init__(
        self, service: str, exchange: HttpExchange, *, deadline: float = math.inf, idle: float = math.inf
    ) -> None:
        self.service = service
        self._deadline = deadline
        self._idle = idle
        self._exchange = exchange
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exchange.end()

    @property
    def framed(self) -> bool:
        """Whether the head gives the length of the body, or its chunks do; else the connection's end is the body's."""
        return self._exchange.head.framed

    async def receive(self) -> bytes | None:
        """Return the next piece; None at the end. Cancelling it loses nothing.

        Raises:
            CallTimeout: no piece came in the idle time, or the deadline has passed.
            ConnectionBroken: the connection broke.
            BadGateway: the body was cut off.
            InvalidAnswer: it is too large.
        """
        connection = self._exchange.connection
        await connection.give_way()
        now = trio.current_time()
        try:
            part = connection.receive_now() if now < self._deadline else b""
        except (ConnectionLost, NotHttp) as error:
            raise self._fault(error) from error
        if part or connection.whole:
            return self._counted(part or None)
        with trio.CancelScope(deadline=min(self._deadline, now + self._idle)):
            return await self.read()
        raise CallTimeout(f"{title(self.service)} fell silent in the middle of an answer.", service=self.service)

    async def read(self) -> bytes | None:
        """Return the next piece, as `receive` does, under the caller's deadline alone."""
        try:
            part = await self._exchange.connection.receive()
        except (ConnectionLost, NotHttp) as error:
            raise self._fault(error) from error
        return self._counted(part)

    def _counted(self, part: bytes | None) -> bytes | None:
        if part is not None:
            self._size += len(part)
            if self._size > MAX_STREAM_BYTES:
                raise too_large(self.service)
        return part

    def _fault(self, error: ConnectionLost | NotHttp) -> ConnectionBroken | BadGateway:
        if isinstance(error, NotHttp):
            return BadGateway(f"{title(self.service)} broke its answer off: {error}.", service=self.service)
        return ConnectionBroken(
            f"The connection to {title(self.service)} broke in the middle of an answer.", service=self.service
        )


async def read_whole(pieces: HttpPieces) -> bytes:
    """Return a whole body, under the caller's deadline.

    Raises:
        InvalidAnswer: the body is larger than `MAX_ANSWER_BYTES`; and what `HttpPieces.read` raises.
    """
    raw = await pieces.read() or b""
    parts, size = [raw], len(raw)
    while piece := await pieces.read():
        parts.append(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise too_large(pieces.service)
    return b"".join(parts)
