"""Connections to one service.

httpcore's own pool compares all connections with all requests whenever one of them comes or goes: with a hundred of
them that costs more than the request. Here all connections lead to one origin, so that a stack is enough.
"""

import ssl
from typing import Final

import httpcore
import trio
from attrs import frozen

MAX_CONNECTIONS: Final = 256
"""Connections to one service; further requests wait for one until their deadline."""
KEEPALIVE_SECONDS: Final = 15.0
"""Age of an idle connection at which it is closed: sooner than common servers close it."""


class Connections:
    """Keeps connections open, and reuses the one that was used last."""

    def __init__(
        self,
        origin: httpcore.Origin,
        *,
        backend: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._origin = origin
        self._backend = backend
        self._tls = tls
        self._slots = trio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[httpcore.AsyncHTTPConnection] = []

    async def send(self, request: httpcore.Request) -> "HTTPExchange":
        """Send a request, and wait for the head of its answer; `HTTPExchange.end` must follow.

        Raises:
            httpcore's exceptions; the connection is then closed, as it is when the wait is cancelled.
        """
        await self._slots.acquire()
        try:
            connection = await self._take()
            try:
                return HTTPExchange(await connection.handle_async_request(request), connection, self)
            except BaseException:
                await _close(connection)
                raise
        except BaseException:
            self._slots.release()
            raise

    async def give_back(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """Take a connection back after its answer was closed; it is reused where it is idle."""
        self._slots.release()
        if connection.is_idle():
            self._idle.append(connection)
        if self._idle and self._idle[0].has_expired():
            await _close(self._idle.pop(0))

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await _close(self._idle.pop())

    async def _take(self) -> httpcore.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await _close(connection)
        return httpcore.AsyncHTTPConnection(
            self._origin, self._tls, keepalive_expiry=KEEPALIVE_SECONDS, network_backend=self._backend
        )


@frozen
class HTTPExchange:
    """An answer, and its connection."""

    response: httpcore.Response
    connection: httpcore.AsyncHTTPConnection
    home: Connections

    async def end(self) -> None:
        """Close the answer; its connection is reused where the answer was read to its end."""
        with trio.CancelScope(shield=True):
            await self.response.aclose()
            await self.home.give_back(self.connection)


async def _close(connection: httpcore.AsyncHTTPConnection) -> None:
    with trio.CancelScope(shield=True):
        await connection.aclose()
