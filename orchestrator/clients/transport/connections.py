"""Connections to one service: kept open, and the one that was used last is used next."""

from typing import Final

import trio
from attrs import frozen

from orchestrator.clients.transport.http_connection import HttpConnection, Origin, connect
from orchestrator.clients.transport.http_head import AnswerHead

MAX_CONNECTIONS: Final = 256
"""Connections to one service; further requests wait for one until their deadline."""
KEEPALIVE_SECONDS: Final = 15.0
"""Age of an idle connection at which it is closed: sooner than common servers close it."""


class Connections:
    """The connections to one origin.

    Args:
        origin: where they lead.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._slots = trio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[HttpConnection] = []

    async def send(self, request: bytes) -> "HttpExchange":
        """Send a request, and wait for the head of its answer; `HttpExchange.end` must follow.

        Raises:
            NoConnection, ConnectionLost, NotHttp: the connection is then closed, as it is when the wait is cancelled.
        """
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            connection = self._take() or await connect(self._origin)
            try:
                return HttpExchange(await connection.ask(request), connection, self)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._slots.release()
            raise

    def give_back(self, connection: HttpConnection) -> None:
        """Take a connection back; it is reused where its answer was read to the end, else closed."""
        self._slots.release()
        now = trio.current_time()
        if connection.reusable:
            connection.idle_since = now
            self._idle.append(connection)
        else:
            connection.close()
        if self._idle and self._idle[0].idle_since < now - KEEPALIVE_SECONDS:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> HttpConnection | None:
        oldest = trio.current_time() - KEEPALIVE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since >= oldest and not connection.gone:
                return connection
            connection.close()
        return None


@frozen
class HttpExchange:
    """An answer whose head was read, and its connection."""

    head: AnswerHead
    connection: HttpConnection
    home: Connections

    def end(self) -> None:
        """Be done with the answer; its connection is reused where it was read to its end."""
        self.home.give_back(self.connection)
