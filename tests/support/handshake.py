"""Sockets to processes that may end at any moment."""

from typing import Final

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

SECONDS: Final = 10.0
"""The library waits for ever where the connection ends before the handshake is answered."""


async def shake_hands(
    nursery: trio.Nursery, stream: trio.SocketStream, host: str, resource: str, token: str
) -> WebSocketConnection:
    """Open a WebSocket over a connection.

    Raises:
        HandshakeError: the server refuses.
        TimeoutError: the server does not answer, or is gone.
    """
    headers = [(b"Authorization", f"Bearer {token}".encode())]
    with trio.move_on_after(SECONDS):
        return await wrap_client_stream(nursery, stream, host, resource, extra_headers=headers)
    raise TimeoutError(f"{host} does not answer the handshake")
