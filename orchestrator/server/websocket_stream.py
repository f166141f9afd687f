"""A WebSocket on one connection (RFC 6455).

It builds on Hypercorn's `WSStream`, and differs from it in this: frames that come before the answer to the handshake
wait for it; whatever a client does wrong is answered by the close frame that the RFC names, after which nothing more is
read into memory; compression is never agreed on, as it would cost some 300 KiB a socket.

An application finds the stream in its scope, as the extension `orchestrator.websocket`: `send_texts`, `send_texts_now`,
`ping`, `pongs` and `abort` go beyond what ASGI has.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

import trio
from hypercorn.protocol.events import Body, Data, Event, Response, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import AppWrapper
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Message, Ping, Pong
from wsproto.events import Event as WSProtoEvent
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from orchestrator.config.constants import WEBSOCKET_EXTENSION
from orchestrator.server.context import Transport
from orchestrator.server.frame_limit import FrameLimit

EVENTS_AT_ONCE: Final = 64
"""Frames that are read before other tasks have their turn: they may be empty."""
_REASONS: Final = {
    CloseReason.PROTOCOL_ERROR: "protocol error",
    CloseReason.INVALID_FRAME_PAYLOAD_DATA: "the text is not UTF-8",
    CloseReason.MESSAGE_TOO_BIG: "the message is too large",
}
_TEXT: Final = 0x81
_BINARY: Final = 0x82
"""First bytes of whole messages."""
_OPEN: Final = frozenset({ASGIWebsocketState.CONNECTED, ASGIWebsocketState.CLOSED})
"""States in which frames are read; in the second one only for the client's close frame."""


class WebsocketStream(WSStream):
    """One WebSocket, from the handshake to the close frames.

    Args:
        transport: the connection.
        close_seconds: how long the client may take to answer a close frame.
        app: the application.
        given: what else Hypercorn's stream is made of.
    """

    def __init__(self, transport: Transport, close_seconds: float, app: AppWrapper, *given: Any) -> None:
        super().__init__(self._serve, *given)
        self._application = app
        self._transport = transport
        self._close_seconds = close_seconds
        self._early = bytearray()
        self._decided = trio.Event()
        self.pongs = 0
        """How many pongs have come."""

    # What an application may use beside ASGI

    async def send_texts(self, payloads: Sequence[bytes]) -> None:
        """Send text messages, in one write; nothing once the socket is closing.

        Args:
            payloads: each a whole message, in UTF-8.
        """
        if self._sends:
            await self._transport.write(_messages(_TEXT, payloads))

    def send_texts_now(self, payloads: Sequence[bytes]) -> bool:
        """Send text messages without waiting; returns false, and sends nothing, where that can't be.

        Args:
            payloads: each a whole message, in UTF-8. The same objects for many sockets in a row are framed once.
        """
        return self._sends and self._transport.write_now(_texts(tuple(payloads)))

    async def ping(self) -> None:
        """Ask the client for a pong; nothing once the socket is closing."""
        if self._sends:
            await self._send_wsproto_event(Ping())

    def abort(self) -> None:
        """Drop the connection at once, with whatever is still being written."""
        self._transport.abort()

    @property
    def _sends(self) -> bool:
        connected = self.state is ASGIWebsocketState.CONNECTED and not self.closed
        return connected and self.connection.state is ConnectionState.OPEN

    # From the client

    async def handle(self, event: Event) -> None:
        """Take in the handshake, what comes behind it, or the client's leaving."""
        if self.closed:
            return
        if isinstance(event, Body | Data):
            await self._take_in(event.data)
            return
        if isinstance(event, StreamClosed):
            self._decided.set()
        await super().handle(event)

    async def _serve(self, scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
        scope["extensions"][WEBSOCKET_EXTENSION] = self
        await self._application(scope, receive, send, sync_spawn, call_soon)

    async def _take_in(self, data: bytes) -> None:
        if self.state is ASGIWebsocketState.HANDSHAKE:
            self._early += data
            if len(self._early) > self.config.h11_max_incomplete_size:
                await self._decided.wait()
            return
        if self.state not in _OPEN or self.connection.state is ConnectionState.CLOSED:
            return
        if self._early:
            data, self._early = bytes(self._early) + data, bytearray()
        self.connection.receive_data(data)
        await self._handle_events()

    async def _handle_events(self) -> None:
        pongs = bytearray()
        for count, event in enumerate(self.connection.events(), 1):
            if isinstance(event, Ping):
                if self.connection.state is ConnectionState.OPEN:
                    pongs += self.connection.send(event.response())
            elif isinstance(event, Pong):
                self.pongs += 1
            elif isinstance(event, Message):
                await self._take_message(event, pongs)
            elif isinstance(event, CloseConnection):
                await self._write(pongs)
                await self._end(event)
                return
            if not count % EVENTS_AT_ONCE:
                await trio.lowlevel.checkpoint()
        await self._write(pongs)

    async def _take_message(self, event: Message[Any], pongs: bytearray) -> None:
        if self.connection.state is not ConnectionState.OPEN:
            return  # what comes behind our close frame counts no more
        self.buffer.extend(event)
        if event.message_finished and self.app_put is not None:
            message = self.buffer.to_message()
            self.buffer.clear()
            await self._write(pongs)
            await self.app_put(message)

    async def _write(self, frames: bytearray) -> None:
        if frames:
            data = bytes(frames)
            frames.clear()
            await self._transport.write(data)

    async def _end(self, event: CloseConnection) -> None:
        """Answer the client's close frame, or close on its error; then close the connection."""
        if self.connection.state is ConnectionState.REMOTE_CLOSING:
            await self._send_wsproto_event(event.response())
        elif self.connection.state is ConnectionState.OPEN:
            await self._send_wsproto_event(
                CloseConnection(code=event.code, reason=_REASONS.get(CloseReason(event.code)))
            )
        await self.send(StreamClosed(stream_id=self.stream_id))

    # From the application

    async def app_send(self, message: Any) -> None:
        """Take a message of the application; None: it has ended."""
        if self.closed:
            await trio.lowlevel.checkpoint()  # an application that sends on and on must not keep the others waiting
            return
        if message is not None and message["type"] == "websocket.send" and self._sends:
            text = message.get("text")
            payload = message["bytes"] if text is None else text.encode()
            await self._transport.write(_messages(_BINARY if text is None else _TEXT, (payload,)))
            return
        await super().app_send(message)
        if message is not None and message["type"] == "websocket.close" and not self.closed:
            self._transport.end_within(self._close_seconds)

    async def _send_wsproto_event(self, event: WSProtoEvent) -> None:
        try:
            data = self.connection.send(event)
        except LocalProtocolError:
            await trio.lowlevel.checkpoint()  # the socket is closing: nothing can be sent any more
        else:
            await self._transport.write(data)

    async def _accept(self, message: Any) -> None:
        self.handshake.extensions = None
        status, headers, _ = self.handshake.accept(message.get("subprotocol"), message.get("headers", []))
        self.connection = Connection(ConnectionType.SERVER, [FrameLimit(self.config.websocket_max_message_size)])
        self.state = ASGIWebsocketState.CONNECTED  # the answer is the next thing that is written
        await self.send(Response(stream_id=self.stream_id, status_code=status, headers=headers))
        self._decided.set()
        if self._early:
            self._transport.resume()


@lru_cache(maxsize=1)
def _texts(payloads: tuple[bytes, ...]) -> bytes:
    return _messages(_TEXT, payloads)


def _messages(opcode: int, payloads: Iterable[bytes]) -> bytes:
    """Write messages as a server does: whole, unmasked, uncompressed (RFC 6455, section 5.2)."""
    parts: list[bytes] = []
    for payload in payloads:
        size = len(payload)
        if size < 126:
            parts.append(bytes((opcode, size)))
        elif size < 0x10000:
            parts.append(bytes((opcode, 126)) + size.to_bytes(2, "big"))
        else:
            parts.append(bytes((opcode, 127)) + size.to_bytes(8, "big"))
        parts.append(payload)
    return b"".join(parts)
