"""An HTTP/1.1 server on trio and h11: fast, and able to misbehave on request."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import h11
import orjson
import trio
from attrs import field, frozen

MAX_BODY_BYTES: Final = 16 * 2**20
MAX_PIPELINED_BYTES: Final = 2**20
SEND_TIMEOUT: Final = 60.0
"""Deadline of a write to a client that does not read, in seconds."""
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


@frozen
class Request:
    """A request."""

    method: str
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


@frozen
class SandboxReply:
    """A whole answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    """Whether the connection breaks in the middle of the body."""


class ConnectionCut(Exception):
    """Raised to drop the connection in the middle of an answer."""


class Writer:
    """Sends the pieces of a streamed answer."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send

    async def send(self, piece: bytes) -> None:
        """Send a piece; returns when the operating system has accepted it."""
        await self._send(piece)


@frozen
class Stream:
    """A streamed answer."""

    run: Callable[[Writer], Awaitable[object]]
    """Returns False where it failed: a repeated idempotency key then runs it again."""
    content_type: str = NDJSON


SandboxAnswer = SandboxReply | Stream
SandboxHandler = Callable[[Request], Awaitable[SandboxAnswer]]


def json_reply(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> SandboxReply:
    """Answer with JSON."""
    return SandboxReply(status, orjson.dumps(value), headers=headers)


class ServerConnection:
    """Connection of one client: requests one by one, until either side closes."""

    def __init__(self, stream: trio.SocketStream, handler: SandboxHandler) -> None:
        self._stream = stream
        self._handler = handler
        self._http = h11.Connection(h11.SERVER)
        self._gone = False

    async def serve(self) -> None:
        """Serve the connection to its end."""
        async with self._stream:
            try:
                while (request := await self._next_request()) is not None:
                    await self._attend(request)
                    if self._gone or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                        return
                    self._http.start_next_cycle()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
            except trio.BrokenResourceError:
                return

    async def _next_event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._stream.receive_some(65536))
        return event

    async def _next_request(self) -> Request | None:
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise h11.RemoteProtocolError("the body is too large", error_status_hint=413)
        path, _, query = head.target.decode("ascii").partition("?")
        return Request(
            method=head.method.decode("ascii"),
            segments=tuple(unquote(part) for part in path.split("/")[1:]),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers},
            body=bytes(body),
        )

    async def _attend(self, request: Request) -> None:
        """Answer a request; the work is cancelled as soon as the client disconnects."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            try:
                await self._answer(request)
            except (ConnectionCut, trio.BrokenResourceError, trio.TooSlowError):
                self._gone = True
            nursery.cancel_scope.cancel()

    async def _watch(self, scope: trio.CancelScope) -> None:
        received = 0
        while received < MAX_PIPELINED_BYTES:
            try:
                data = await self._stream.receive_some(65536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                self._gone = True
                scope.cancel()
                return
            received += len(data)
            self._http.receive_data(data)

    async def _answer(self, request: Request) -> None:
        answer = await self._handler(request)
        if isinstance(answer, Stream):
            await self._send(_head(200, answer.content_type, ()))
            await answer.run(Writer(lambda piece: self._send(h11.Data(data=piece))))
            await self._send(h11.EndOfMessage())
        elif answer.cut:
            head = _head(answer.status, answer.content_type, (("content-length", str(len(answer.body))),))
            await self._send(head, h11.Data(data=answer.body[: len(answer.body) // 2]))
            raise ConnectionCut
        else:
            await self._send_whole(answer)

    async def _send_whole(self, reply: SandboxReply) -> None:
        headers = (*reply.headers, ("content-length", str(len(reply.body))))
        await self._send(
            _head(reply.status, reply.content_type, headers), h11.Data(data=reply.body), h11.EndOfMessage()
        )

    async def _refuse(self, status: int) -> None:
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            message = {"error": {"code": "SANDBOX_VAL_001", "message": "This is no HTTP request that is taken here."}}
            with trio.move_on_after(1):
                await self._send_whole(json_reply(message, status, (("connection", "close"),)))

    async def _send(self, *events: Any) -> None:
        data = b"".join(self._http.send(event) or b"" for event in events)
        with trio.fail_after(SEND_TIMEOUT):
            await self._stream.send_all(data)


def _head(status: int, content_type: str, headers: tuple[tuple[str, str], ...]) -> h11.Response:
    return h11.Response(status_code=status, headers=[("content-type", content_type), *headers])


@frozen
class Listener:
    """A bound port."""

    listeners: list[trio.SocketListener] = field(repr=False)
    port: int

    async def serve(self, handler: SandboxHandler) -> None:
        """Serve until cancelled."""

        async def serve_one(stream: trio.SocketStream) -> None:
            await ServerConnection(stream, handler).serve()

        await trio.serve_listeners(serve_one, self.listeners)


async def listen(port: int) -> Listener:
    """Bind a loopback port; 0 takes a free one."""
    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=1024)
    return Listener(listeners, listeners[0].socket.getsockname()[1])
