"""The server's end of one WebSocket, beneath what ASGI shows of it.

ASGI knows one message a call, no pong, and no way out of a `send` that waits for a reader who does not read (Hypercorn
shields it from cancellation). This is the only module that knows Hypercorn's own stream, and uses it for just that:

- many frames in one write; the same bytes for every socket, since no compression is agreed on (it would cost some
  300 KiB a socket);
- pings, and the pongs that answer them;
- an abort that frees a stuck write.

On another server, or behind something that wraps `send`, frames go out one by one through ASGI, pings are the server's
business, and an abort is left to it. `tests/frameworks/test_hypercorn.py` tells when Hypercorn's inside changes.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress

import trio
from hypercorn.events import Closed
from hypercorn.protocol.events import Data, StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream
from quart import Websocket
from wsproto.connection import Connection, ConnectionState
from wsproto.events import Event, Ping, Pong

from orchestrator.frameworks.quart_inside import server_end


class Wire:
    """Sends on one socket.

    Args:
        websocket: the socket, not yet accepted.
    """

    __slots__ = ("_messages", "_stream", "_websocket", "pongs")

    def __init__(self, websocket: Websocket) -> None:
        self._websocket = websocket
        end = server_end(websocket)
        self._messages = end.messages
        self._stream = _stream_behind(end.send)
        self.pongs = 0
        """How many pongs have come."""

    @property
    def pings(self) -> bool:
        """Whether pings can be sent, and pongs seen."""
        return self._stream is not None

    async def accept(self, subprotocol: str | None) -> None:
        """Complete the handshake."""
        stream = self._stream
        if stream is None:
            await self._websocket.accept(subprotocol=subprotocol)
            return
        stream.handshake.extensions = None
        await self._websocket.accept(subprotocol=subprotocol)
        stream.connection = _Listening(stream.connection, self._on_pong)  # type: ignore[assignment] # quacks alike

    async def receive(self) -> str | bytes:
        """Wait for the client's next message."""
        return await self._messages.receive()

    async def send(self, frames: Sequence[bytes]) -> None:
        """Send text frames, in one write; nothing once the socket is closing."""
        stream = self._stream
        if stream is None:
            for frame in frames:
                await self._websocket.send(frame.decode())
        elif stream.connection.state is ConnectionState.OPEN and not stream.closed:
            await stream.send(Data(stream_id=stream.stream_id, data=_text_messages(frames)))

    async def ping(self) -> None:
        """Ask the client for a pong."""
        stream = self._stream
        if stream is not None and stream.connection.state is ConnectionState.OPEN and not stream.closed:
            await stream.send(Data(stream_id=stream.stream_id, data=stream.connection.send(Ping())))

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame; where the client has sent its own just now, the server is closing the connection."""
        with suppress(trio.BusyResourceError):
            await self._websocket.close(code, reason)

    async def abort(self) -> None:
        """Drop the connection at once, with whatever is still being written."""
        stream = self._stream
        if stream is None:
            return
        protocol = getattr(stream.send, "__self__", None)
        if isinstance(protocol, H11Protocol):
            await protocol.send(Closed())
        else:
            await stream.send(StreamClosed(stream_id=stream.stream_id))

    def _on_pong(self) -> None:
        self.pongs += 1


class _Listening:
    """A protocol engine that tells when a pong comes by."""

    __slots__ = ("_engine", "_on_pong")

    def __init__(self, engine: Connection, on_pong: Callable[[], None]) -> None:
        self._engine = engine
        self._on_pong = on_pong

    @property
    def state(self) -> ConnectionState:
        return self._engine.state

    def receive_data(self, data: bytes | None) -> None:
        self._engine.receive_data(data)

    def send(self, event: Event) -> bytes:
        return self._engine.send(event)

    def events(self) -> Iterator[Event]:
        for event in self._engine.events():
            if isinstance(event, Pong):
                self._on_pong()
            yield event


def _stream_behind(send: Callable[..., Awaitable[None]]) -> WSStream | None:
    stream = getattr(send, "__self__", None)
    return stream if isinstance(stream, WSStream) else None


def _text_messages(payloads: Iterable[bytes]) -> bytes:
    """Write text messages as a server does: whole, unmasked, uncompressed (RFC 6455, section 5.2)."""
    parts: list[bytes] = []
    for payload in payloads:
        size = len(payload)
        if size < 126:
            parts.append(bytes((0x81, size)))
        elif size < 0x10000:
            parts.append(b"\x81\x7e" + size.to_bytes(2, "big"))
        else:
            parts.append(b"\x81\x7f" + size.to_bytes(8, "big"))
        parts.append(payload)
    return b"".join(parts)
