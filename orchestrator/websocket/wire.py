"""The server's end of one WebSocket, beneath what ASGI shows of it.

ASGI knows one message a call, no pong, and no way out of a `send` whose client does not read. The
service's own server offers that as an extension of the ASGI scope, and this is the only module that uses it:

- many frames in one write; the same bytes for every socket, since no compression is agreed on; without waiting, where
  the client has taken what was sent before;
- pings, and the pongs that answer them;
- an abort that frees a stuck write.

On another server frames go out one by one through ASGI, pings are the server's business, and an abort is left to it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from quart import Websocket

from orchestrator.config.constants import WEBSOCKET_EXTENSION
from orchestrator.frameworks.quart_inside import messages_of


class ServerSocket(Protocol):
    """What the service's own server offers for a WebSocket."""

    pongs: int
    """How many have come."""

    async def send_texts(self, payloads: Sequence[bytes]) -> None:
        """Send text messages, in one write; nothing once the socket is closing."""

    def send_texts_now(self, payloads: Sequence[bytes]) -> bool:
        """Send text messages without waiting; returns false, and sends nothing, where that can't be."""

    async def ping(self) -> None:
        """Ask the client for a pong; nothing once the socket is closing."""

    def abort(self) -> None:
        """Drop the connection at once, with whatever is still being written."""


class Wire:
    """Sends on one socket.

    Args:
        websocket: the socket, not yet accepted.
    """

    __slots__ = ("_messages", "_socket", "_websocket")

    def __init__(self, websocket: Websocket) -> None:
        self._websocket = websocket
        self._messages = messages_of(websocket)
        self._socket = server_socket(websocket)

    @property
    def offered(self) -> list[str]:
        """The subprotocols that the client offers."""
        return self._websocket.requested_subprotocols

    @property
    def pings(self) -> bool:
        """Whether pings can be sent, and pongs seen."""
        return self._socket is not None

    @property
    def pongs(self) -> int:
        """How many pongs have come."""
        return 0 if self._socket is None else self._socket.pongs

    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""
        await self._websocket.accept(subprotocol=subprotocol)

    async def receive(self) -> str | bytes:
        """Wait for the client's next message."""
        return await self._messages.receive()

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send text frames, in one write; nothing once the socket is closing."""
        if self._socket is not None:
            await self._socket.send_texts(frames)
            return
        for frame in frames:
            await self._websocket.send(frame.decode())

    def send_now(self, frames: Sequence[bytes]) -> bool:
        """Send text frames without waiting; returns false, and sends nothing, where that can't be."""
        return self._socket is not None and self._socket.send_texts_now(frames)

    async def ping(self) -> None:
        """Ask the client for a pong."""
        if self._socket is not None:
            await self._socket.ping()

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame."""
        await self._websocket.close(code, reason)

    async def abort(self) -> None:
        """Drop the connection at once, with whatever is still being written."""
        if self._socket is not None:
            self._socket.abort()


def server_socket(websocket: Websocket) -> ServerSocket | None:
    """Return what the server offers for a socket beyond ASGI, or None on another server."""
    extensions: dict[str, Any] = websocket.scope.get("extensions") or {}
    return extensions.get(WEBSOCKET_EXTENSION)
