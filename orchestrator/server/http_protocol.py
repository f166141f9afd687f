"""HTTP/1.1 on one connection: requests in turn, and the change to a WebSocket.

It builds on Hypercorn's `H11Protocol`, and differs from it in this: requests that arrive while another is answered wait
without holding up the reader; heads are checked before the application sees them; an answer that is there as a whole
goes out in one write, and so do a body's last piece and its end; HTTP/2 is not spoken.
"""

import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import h11
import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, Data, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.typing import ConnectionState

from orchestrator.server.application import ApplicationTasks
from orchestrator.server.context import ServerContext, Transport
from orchestrator.server.refusals import HEAD_TOO_LARGE, UNKNOWN_HOST, Refusal
from orchestrator.server.request_head import (
    Header,
    framing_fault,
    handshake_fault,
    head_fault,
    is_handshake,
    joined,
    size_fault,
    target_path,
)
from orchestrator.server.request_stream import RequestStream
from orchestrator.server.websocket_stream import WebsocketStream

EVENTS_AT_ONCE: Final = 64
"""Pieces of a request that are read before other tasks have their turn: chunks may be of one byte."""
_ANSWERABLE: Final = frozenset({h11.IDLE, h11.SEND_RESPONSE})
_ENDED: Final = frozenset({h11.MUST_CLOSE, h11.CLOSED, h11.ERROR})
_JOINED_BYTES: Final = 65_536
"""A longer body is not copied behind the head of its answer."""
_EMPTY_LINES: Final = b"\r\n"
"""Before a request they are to be passed over (RFC 9112, section 2.2)."""
_LENGTH: Final = b"content-length"
_CLOSE: Final = (b"connection", b"close")


class HttpProtocol(H11Protocol):
    """The protocol of one connection.

    Args:
        context: what all connections share.
        transport: the connection.
        tasks: where the application runs.
    """

    def __init__(self, context: ServerContext, transport: Transport, tasks: ApplicationTasks) -> None:
        super().__init__(
            context.app,
            context.config,
            context.worker,
            tasks,
            ConnectionState(context.state),
            transport.ssl,
            transport.client,
            transport.server,
            transport.protocol_send,
        )
        self._context = context
        self._transport = transport
        self._method = b""
        self._head = bytearray()
        """What has come of the head that is being read."""
        self._held = b""
        """What is to be written with what follows: the head of an answer, or the last piece of its body."""

    @property
    def in_head(self) -> bool:
        """Whether a part of a request's head has come."""
        return bool(self._head)

    async def handle(self, event: Event) -> None:
        """Take in what came from the client, or its leaving."""
        if isinstance(event, Closed):
            await self._close_stream()
        elif isinstance(event, RawData):
            if isinstance(self.stream, WebsocketStream):
                await self.stream.handle(Data(stream_id=STREAM_ID, data=event.data))
            else:
                await self._take_in(event.data)

    async def resume(self) -> None:
        """Go on with what came while it could not be taken in; only the reader calls this."""
        if isinstance(self.stream, WebsocketStream):
            await self.stream.handle(Data(stream_id=STREAM_ID, data=b""))
        else:
            await self._handle_events()

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal where that is still possible, and close the connection."""
        await self._close_stream()
        if self.connection.our_state in _ANSWERABLE:
            media_type, body = self._context.refusal_body(refusal.status, refusal.message)
            own = [(b"content-type", media_type), (_LENGTH, b"%d" % len(body)), _CLOSE]
            headers = [*refusal.headers, *own, *self.config.response_headers("h11")]
            answer = self._encode(h11.Response(status_code=refusal.status, headers=headers))
            if self._method != b"HEAD":
                answer += self._encode(h11.Data(data=body))
            await self.send(RawData(data=answer + self._encode(h11.EndOfMessage())))
        await self.send(Closed())

    # From the client

    async def _take_in(self, data: bytes) -> None:
        state = self.connection.their_state
        if state in _ENDED:
            return  # the client's last request has come: nothing can follow
        if state is h11.IDLE:
            if not self._head:
                data = data.lstrip(_EMPTY_LINES)
            self._head += data
        if data:
            self.connection.receive_data(data)
            await self._handle_events()

    async def _handle_events(self) -> None:
        """Do what the bytes say that have come, until more are needed or the answer has to be written first."""
        body: list[bytes] = []
        for count in itertools.count(1):
            if not count % EVENTS_AT_ONCE:
                await trio.lowlevel.checkpoint()
            if self.connection.their_state in _ENDED:
                return
            fault = self._size_fault() if self.connection.their_state is h11.IDLE else None
            if fault is not None:
                await self.refuse(fault)
                return
            try:
                event = self.connection.next_event()
            except h11.RemoteProtocolError as error:
                await self.refuse(_fault(error, self._head))
                return
            if isinstance(event, h11.Data):
                body.append(bytes(event.data))
                continue
            if isinstance(event, h11.EndOfMessage):
                if isinstance(self.stream, RequestStream):
                    await self.stream.end_body(b"".join(body))
                body.clear()
                continue
            if body:
                await self._pass_on(Body(stream_id=STREAM_ID, data=b"".join(body)))
                body.clear()
            if isinstance(event, h11.Request):
                if not await self._begin(event):
                    return
            elif event is not h11.PAUSED or not await self._overfull():
                await self._ask_for_body()
                return

    def _size_fault(self) -> Refusal | None:
        return size_fault(self._head, self.config.h11_max_incomplete_size, self._context.limits.head_lines)

    async def _pass_on(self, event: StreamEvent) -> None:
        if self.stream is not None:
            await self.stream.handle(event)

    async def _ask_for_body(self) -> None:
        if self.connection.they_are_waiting_for_100_continue:
            await self.send(RawData(data=self._encode(h11.InformationalResponse(status_code=100, headers=[]))))

    async def _overfull(self) -> bool:
        """Wait for the answer to the last request if too much has come behind it; tell whether there was a wait."""
        if len(self.connection.trailing_data[0]) <= self.config.h11_max_incomplete_size:
            return False
        await self.can_read.clear()
        await self.can_read.wait()
        return True

    async def _begin(self, request: h11.Request) -> bool:
        """Begin with a request; tell whether more may be parsed."""
        await self.send(Updated(idle=False))
        self._method = request.method
        head = bytes(self._head[: len(self._head) - len(self.connection.trailing_data[0])])
        self._head.clear()
        opens = is_handshake(request)
        fault = framing_fault(head) or head_fault(request)
        if fault is None and opens:
            fault = handshake_fault(request)
        if fault is None and not self._answers_for(request.headers):
            fault = UNKNOWN_HOST
        if fault is not None:
            await self.refuse(fault)
            return False
        self.keep_alive_requests += 1
        await (self._open_websocket(request) if opens else self._open_request(request))
        return not opens

    async def _open_request(self, request: h11.Request) -> None:
        self.stream = RequestStream(self._write_body_now, *self._given())
        headers = request.headers.raw_items() if self.config.h11_pass_raw_headers else list(request.headers)
        await self.stream.handle(self._event(request, headers))

    async def _open_websocket(self, request: h11.Request) -> None:
        self.connection.next_event()  # the end of the request, which has no body
        early = self.connection.trailing_data[0]
        self.stream = WebsocketStream(self._transport, self._context.limits.close_seconds, *self._given())
        await self.stream.handle(self._event(request, joined(request.headers)))
        if early:
            # Frames that came before the answer to the handshake.
            await self.stream.handle(Data(stream_id=STREAM_ID, data=early))

    def _given(self) -> tuple[Any, ...]:
        """Return what Hypercorn's streams are made of."""
        shared = (self.app, self.config, self.context, self.task_group, self.ssl, self.client, self.server)
        return (*shared, self.stream_send, STREAM_ID)

    def _event(self, request: h11.Request, headers: list[Header]) -> Request:
        return Request(
            stream_id=STREAM_ID,
            headers=headers,
            http_version=request.http_version.decode(),
            method=request.method.decode("ascii").upper(),
            raw_path=target_path(request) or b"/",
            state=self.connection_state,
        )

    def _answers_for(self, headers: Sequence[Header]) -> bool:
        names = self.config.server_names
        return not names or any(name == b"host" and value.decode("latin-1") in names for name, value in headers)

    # To the client

    async def stream_send(self, event: StreamEvent) -> None:
        """Write what a stream sends, or take note of its end."""
        if isinstance(event, Response):
            await self._send_head(event)
        elif isinstance(event, Body):
            await self._send_body(event.data)
        elif isinstance(event, EndBody):
            await self._flush(self._encode(h11.EndOfMessage()))
        elif isinstance(event, Data):
            await self.send(RawData(data=event.data))
        elif isinstance(event, StreamClosed):
            await self._maybe_recycle()

    async def _send_head(self, event: Response) -> None:
        headers = [*event.headers, *self.config.response_headers("h11")]
        if event.status_code < 200:
            await self._flush(self._encode(h11.InformationalResponse(status_code=event.status_code, headers=headers)))
            return
        if isinstance(self.stream, WebsocketStream) or self._is_last():
            headers = [*(header for header in headers if header[0].lower() != b"connection"), _CLOSE]
        self._held = self._encode(h11.Response(status_code=event.status_code, headers=headers))
        follows = isinstance(self.stream, RequestStream) and self.stream.body_follows
        if not follows and all(name.lower() != _LENGTH for name, _ in headers):
            await self._flush(b"")  # a stream, whose client waits for the head

    async def _send_body(self, data: bytes) -> None:
        piece = self._encode(h11.Data(data=data))
        if len(piece) <= _JOINED_BYTES and isinstance(self.stream, RequestStream) and self.stream.ending:
            self._held += piece  # its end comes at once, and takes it along
        else:
            await self._flush(piece)

    def _is_last(self) -> bool:
        """Tell whether the connection is to be closed after this answer."""
        return self.context.terminated.is_set() or self.keep_alive_requests >= self.config.keep_alive_max_requests

    def _write_body_now(self, data: bytes) -> bool:
        if self._held:
            return False
        piece = self._encode(h11.Data(data=data))
        return bool(piece) and self._transport.write_now(piece)

    async def _flush(self, data: bytes) -> None:
        held, self._held = self._held, b""
        for part in (held, data) if len(data) > _JOINED_BYTES else (held + data,):
            if part:
                await self.send(RawData(data=part))

    def _encode(self, event: Any) -> bytes:
        """Return an event's bytes, or none where an error has ended the conversation already."""
        if h11.ERROR in (self.connection.our_state, self.connection.their_state):
            with suppress(h11.LocalProtocolError):
                return self.connection.send(event) or b""
            return b""
        return self.connection.send(event) or b""

    async def _maybe_recycle(self) -> None:
        """After an answer: go on with the next request, or close the connection."""
        await self._close_stream()
        ended = (self.connection.our_state, self.connection.their_state) == (h11.DONE, h11.DONE)
        if self.context.terminated.is_set() or not ended:
            await self.can_read.set()
            await self.send(Closed())
            return
        self.connection.start_next_cycle()
        waiting = self.connection.trailing_data[0]
        self._head += waiting.lstrip(_EMPTY_LINES)
        if len(self._head) < len(waiting):
            self.connection = h11.Connection(h11.SERVER, self.config.h11_max_incomplete_size)
            self.connection.receive_data(bytes(self._head))
        await self.can_read.set()
        await self.send(Updated(idle=True))
        if self._head:
            self._transport.resume()


def _fault(error: h11.RemoteProtocolError, head: bytearray) -> Refusal:
    if error.error_status_hint == HEAD_TOO_LARGE.status:
        return HEAD_TOO_LARGE
    # What stands behind a colon is the client's own text.
    reason = str(error).partition(":")[0]
    return framing_fault(bytes(head)) or Refusal(400, f"The request is malformed: {reason}.")
