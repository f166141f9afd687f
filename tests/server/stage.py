"""The server over a small application of the tests, and clients that write bytes."""

import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import pytest
import trio
from attrs import define, field

from orchestrator import server
from orchestrator.config.constants import ARRIVED_EXTENSION, BODY_EXTENSION, BODY_FOLLOWS, WEBSOCKET_EXTENSION
from orchestrator.server import serving
from orchestrator.server.connections import Connections, CountBy
from orchestrator.server.websocket_stream import WebsocketStream

PATIENCE: Final = 10.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


@define(eq=False)
class App:
    """An ASGI application; the path says how it behaves, and `decide` lets it go on."""

    decide: trio.Event = field(factory=trio.Event)
    seen: deque[Any] = field(factory=partial(deque, maxlen=10))
    """The scopes of the last requests and sockets."""
    disconnects: deque[str] = field(factory=partial(deque, maxlen=10))
    """Paths whose client has left."""
    running: int = 0
    sent_now: int = 0
    """Messages that went out without waiting, until one could not."""
    stuck: trio.Event = field(factory=trio.Event)
    outside: tuple[bool, bool] | None = None
    """Whether a piece of a body went out without waiting before its head, and after its end."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        self.seen.append(scope)
        self.running += 1
        try:
            name = scope["path"].strip("/").replace("-", "_")
            kind = "socket" if scope["type"] == "websocket" else "http"
            await getattr(self, f"{kind}_{name}", getattr(self, f"{kind}_unknown"))(scope, receive, send)
        finally:
            self.running -= 1

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})

    # Requests

    async def http_echo(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer with method and body."""
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                await answer(send, 200, scope["method"].encode() + b" " + body)
                return
        self.disconnects.append(scope["path"])

    async def http_unknown(self, scope: Any, receive: Receive, send: Send) -> None:
        """Refuse."""
        await answer(send, 404, b"unknown")

    async def http_early(self, scope: Any, receive: Receive, send: Send) -> None:
        """Refuse without reading the body."""
        await answer(send, 413, b"too large")

    async def http_late(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer when the test says so, or note that the client has left."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, scope, receive, nursery.cancel_scope)
            await self.decide.wait()
            nursery.cancel_scope.cancel()
        if scope["path"] not in self.disconnects:
            await answer(send, 200, b"late")

    async def _watch(self, scope: Any, receive: Receive, ended: trio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnects.append(scope["path"])
        ended.cancel()

    async def http_stream(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send pieces until the test says so, or until the client has left."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, scope, receive, nursery.cancel_scope)
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await self.decide.wait()
            nursery.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"last", "more_body": False})

    async def http_arrived(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer with what has come of the body at once, and with what comes later."""
        arrived = scope["extensions"][ARRIVED_EXTENSION]()
        now = b"" if arrived is None else arrived["body"]
        message = arrived
        later = b""
        while message is None or message["more_body"]:
            message = await receive()
            later += message["body"]
        await answer(send, 200, b"now %b, later %b" % (now, later))

    async def http_joined(self, scope: Any, receive: Receive, send: Send) -> None:
        """Say that the first piece comes with the head, wait for the test, and send the last piece with the end."""
        await send({"type": "http.response.start", "status": 200, "headers": [], BODY_FOLLOWS: True})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await self.decide.wait()
        await send({"type": "http.response.body", "body": b"last", "more_body": False})

    async def http_push_now(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send numbered pieces without waiting for as long as that can be, then one that waits, then the end."""
        send_now: Callable[[bytes], bool] = scope["extensions"][BODY_EXTENSION]
        early = send_now(b"early")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while self.sent_now < 1000 and send_now(b"%d " % self.sent_now * 1000):
            self.sent_now += 1
        await send({"type": "http.response.body", "body": b"last", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self.outside = early, send_now(b"late")

    async def http_large(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send more than any buffer takes."""
        await answer(send, 200, bytes(16 * 2**20))

    async def http_crash(self, scope: Any, receive: Receive, send: Send) -> None:
        """Fail before the answer."""
        raise RuntimeError("crash")

    async def http_crash_midway(self, scope: Any, receive: Receive, send: Send) -> None:
        """Fail within the answer."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        raise RuntimeError("crash")

    async def http_wrong(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send what ASGI does not allow."""
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    # Sockets

    async def socket_echo(self, scope: Any, receive: Receive, send: Send) -> None:
        """Send back every message."""
        await receive()
        await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})
        self.disconnects.append(scope["path"])

    async def socket_echo_late(self, scope: Any, receive: Receive, send: Send) -> None:
        """The same, accepted when the test says so."""
        await self.decide.wait()
        await self.socket_echo(scope, receive, send)

    async def socket_refuse(self, scope: Any, receive: Receive, send: Send) -> None:
        """Refuse when the test says so."""
        await receive()
        await self.decide.wait()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"content-length", b"2")]})
        await send({"type": "websocket.http.response.body", "body": b"no", "more_body": False})

    async def socket_refuse_plainly(self, scope: Any, receive: Receive, send: Send) -> None:
        """Refuse by a close before the upgrade."""
        await self.decide.wait()
        await send({"type": "websocket.close"})

    async def socket_unknown(self, scope: Any, receive: Receive, send: Send) -> None:
        """Refuse."""
        await send({"type": "websocket.close"})

    async def socket_close(self, scope: Any, receive: Receive, send: Send) -> None:
        """Accept, and close when the test says so."""
        await send({"type": "websocket.accept"})
        await self.decide.wait()
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})

    async def socket_push(self, scope: Any, receive: Receive, send: Send) -> None:
        """Accept, and send until the client has left."""
        await send({"type": "websocket.accept"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._until_gone, receive, nursery.cancel_scope)
            while True:
                await send({"type": "websocket.send", "text": "x" * 10_000})

    async def socket_push_now(self, scope: Any, receive: Receive, send: Send) -> None:
        """Accept, and number messages: without waiting for as long as that can be, then one that waits; then close."""
        socket: WebsocketStream = scope["extensions"][WEBSOCKET_EXTENSION]
        await send({"type": "websocket.accept"})
        sent = 0
        while socket.send_texts_now(numbered(sent, sent + 1)):
            sent += 2
            self.sent_now = sent
        self.stuck.set()
        await socket.send_texts(numbered(sent))
        await send({"type": "websocket.close", "code": 4000})

    async def _until_gone(self, receive: Receive, ended: trio.CancelScope) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass
        ended.cancel()

    async def socket_crash(self, scope: Any, receive: Receive, send: Send) -> None:
        """Fail before the answer to the handshake."""
        await self.decide.wait()
        raise RuntimeError("crash")

    async def socket_crash_midway(self, scope: Any, receive: Receive, send: Send) -> None:
        """Fail when the socket is open."""
        await send({"type": "websocket.accept"})
        await self.decide.wait()
        raise RuntimeError("crash")

    async def socket_deaf(self, scope: Any, receive: Receive, send: Send) -> None:
        """Accept, and read nothing until the test says so."""
        await send({"type": "websocket.accept"})
        await self.decide.wait()


def numbered(*numbers: int) -> list[bytes]:
    """Write messages of a length that ends anywhere in a buffer."""
    return [b"%d " % number + b"x" * 9_973 for number in numbers]


async def answer(send: Send, status: int, body: bytes) -> None:
    """Send a whole answer."""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@define(eq=False)
class Stage:
    """What a test works with."""

    app: App
    url: str
    port: int
    stop: trio.Event
    ended: trio.Event
    connections: Connections
    scope: trio.CancelScope
    """Of the server."""
    opened: list[trio.SocketStream | trio.SSLStream[trio.SocketStream]] = field(factory=list)
    """By clients; they are closed in the end."""

    async def open(self, sent: bytes = b"", *, source: str = "127.0.0.1", window: int | None = None) -> "Client":
        """Connect, and send."""
        client = await connect(self.port, sent, source=source, window=window)
        self.opened.append(client.stream)
        return client

    async def open_websocket(self, path: str = "/echo", **options: Any) -> "Client":
        """Open a WebSocket."""
        client = await self.open(handshake(path), **options)
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 101"), head
        return client

    async def assert_serves(self, source: str = "127.0.0.2") -> None:
        """Check that another client is served."""
        async with await self.open(request("/echo", "close"), source=source) as client:
            assert (await client.answer()) == (200, b"GET ")

    async def until_idle(self) -> None:
        """Wait until there are no connections, and no application runs."""
        with trio.fail_after(PATIENCE):
            await self.connections.gone()
            while self.app.running:
                await trio.lowlevel.checkpoint()


@define(eq=False)
class Client:
    """A client that writes bytes."""

    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
    received: bytearray = field(factory=bytearray)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stream.aclose()

    async def send(self, data: bytes) -> None:
        """Send bytes; that the server has closed does not matter."""
        with suppress(trio.BrokenResourceError):
            await self.stream.send_all(data)

    def reset(self) -> None:
        """Leave without a word, as a machine that is switched off and comes back."""
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def more(self) -> bool:
        """Read on; returns false at the end."""
        with trio.fail_after(PATIENCE):
            data = await self.stream.receive_some(65_536)
        self.received += data
        return bool(data)

    async def rest(self) -> bytes:
        """Read to the end; a reset counts as one."""
        with suppress(trio.BrokenResourceError):
            while await self.more():
                pass
        return self._take(len(self.received))

    async def take(self, count: int) -> bytes:
        """Read so many bytes."""
        while len(self.received) < count:
            assert await self.more(), f"the server closed after {bytes(self.received)!r}"
        return self._take(count)

    async def head(self) -> bytes:
        """Read the head of an answer."""
        while b"\r\n\r\n" not in self.received:
            assert await self.more(), f"the server closed after {bytes(self.received)!r}"
        return self._take(self.received.index(b"\r\n\r\n") + 4)

    async def answer(self) -> tuple[int, bytes]:
        """Read an answer that says its length."""
        head = (await self.head()).lower()
        length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
        return int(head[9:12]), await self.take(length)

    async def frame(self) -> tuple[int, bytes]:
        """Read a frame; returns its opcode and its payload."""
        first, second = await self.take(2)
        assert first & 0xF0 == 0x80, "whole, and without reserved bits"
        length = second
        if second == 126:
            length = int.from_bytes(await self.take(2), "big")
        elif second == 127:
            length = int.from_bytes(await self.take(8), "big")
        return first & 0x0F, await self.take(length)

    def _take(self, count: int) -> bytes:
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken


async def connect(port: int, sent: bytes = b"", *, source: str = "127.0.0.1", window: int | None = None) -> Client:
    """Connect to a server on loopback, and send; `window` is the size of the receive buffer, in bytes."""
    sock = trio.socket.socket()
    try:
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    client = Client(trio.SocketStream(sock))
    await client.send(sent)
    return client


def request(path: str, connection: str = "keep-alive", method: str = "GET", more: str = "", body: str = "") -> bytes:
    """Write a request."""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n{more}{length}\r\n{body}".encode()


def handshake(path: str = "/echo", **changed: str | Sequence[str] | None) -> bytes:
    """Write a handshake; arguments change, repeat or (None) leave out headers."""
    headers: dict[str, str | Sequence[str] | None] = {
        "host": "x",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec_websocket_version": "13",
    }
    headers.update(changed)
    lines = [f"GET {path} HTTP/1.1"]
    for name, values in headers.items():
        each = [values] if isinstance(values, str) else values or ()
        lines += [f"{name.replace('_', '-')}: {value}" for value in each]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x01\x02\x03\x04",
    width: int | None = None,
    length: int | None = None,
) -> bytes:
    """Write a frame as a client does.

    Args:
        opcode: of the frame.
        payload: unmasked.
        fin: whether it is a message's last.
        rsv: the three reserved bits.
        mask: the mask; None: not masked.
        width: bytes of the length, 0, 2 or 8; None: as few as possible.
        length: what is said of the payload's length; None: the truth.
    """
    length = len(payload) if length is None else length
    if width is None:
        width = 0 if length < 126 else 2 if length < 0x10000 else 8
    short = {0: length, 2: 126, 8: 127}[width]
    head = (
        bytes([fin << 7 | rsv << 4 | opcode, (0x80 if mask else 0) | short])
        + length.to_bytes(width or 1, "big")[:width]
    )
    if mask is None:
        return head + payload
    masks = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(masks, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


def close_frame(code: int | None = 1000, reason: bytes = b"", **options: Any) -> bytes:
    """Write a close frame."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason, **options)


@asynccontextmanager
async def open_stage(
    limits: server.Limits | None = None,
    count_by: CountBy = str,
    config: Mapping[str, Any] | None = None,
    patience: float = 60,
) -> AsyncIterator[Stage]:
    """Serve the application on loopback; `config` is set on Hypercorn's configuration."""
    chosen = server.ServerConfig()
    chosen.bind = ["127.0.0.1:0"]
    chosen.errorlog = None
    for name, value in (config or {}).items():
        setattr(chosen, name, value)
    made: list[Connections] = []
    scopes: list[trio.CancelScope] = []

    class Watched(Connections):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    app, stop, ended = App(), trio.Event(), trio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "Connections", Watched)
        async with trio.open_nursery() as nursery:

            async def serve(*, task_status: trio.TaskStatus[list[str]]) -> None:
                with trio.CancelScope() as scope:
                    scopes.append(scope)
                    await server.serve(
                        app, chosen, limits, shutdown_trigger=stop.wait, count_by=count_by, task_status=task_status
                    )
                ended.set()

            [url] = await nursery.start(serve)
            while not made:
                await trio.lowlevel.checkpoint()
            stage = Stage(app, url, int(url.rpartition(":")[2]), stop, ended, made[0], scopes[0])
            try:
                with trio.fail_after(patience):
                    yield stage
            finally:
                for opened in stage.opened:
                    await trio.aclose_forcefully(opened)
            nursery.cancel_scope.cancel()
