"""One connection of an HTTP/1.1 client: requests in turn, each with its answer.

A request goes out in one write, and an answer is read as it comes, by as few calls of the system as that takes: this is
what most of a turn's calls consist of. Whatever is cancelled or fails leaves the connection to be closed; a read of a
body alone may be cancelled and begun again.
"""

import os
import ssl
from functools import cache
from typing import Final

import httpcore
import trio
from attrs import frozen

from orchestrator.clients.transport.http_head import AnswerHead, Chunks, NotHttp, parse_head, split_head

READ_BYTES: Final = 65_536
UNWAITED_BYTES: Final = 65_536
"""So much is read without a wait, where a server sends faster than it is read, before other tasks have their turn."""
_READ_COSTS: Final = 4096
"""Bytes that a read counts for beside those that it brings: small ones cost much the same."""
_SWITCHING: Final = 101


class NoConnection(Exception):
    """The server can't be connected to."""


class ConnectionLost(Exception):
    """The connection broke."""


@frozen
class Origin:
    """Where a server is."""

    scheme: str
    host: str
    port: int
    address: str = ""
    """What is connected to in place of the host, whatever its name resolves to by then."""
    tls: ssl.SSLContext | None = None
    """How certificates are checked; None: against the authorities that are commonly trusted."""


class HttpConnection:
    """An open connection.

    Args:
        stream: the connection, with its handshake done.
    """

    def __init__(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        tcp = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        self._socket = tcp.socket
        self._descriptor = tcp.socket.fileno() if tcp is stream else -1
        self._received = b""
        self._head: AnswerHead | None = None
        self._left: int | None = 0
        self._chunks: Chunks | None = None
        self._unwaited = 0
        """What was read since the last wait."""
        self.whole = False
        """Whether the answer was read to its end."""
        self.idle_since = 0.0

    @property
    def reusable(self) -> bool:
        """Whether the last answer was read to its end, and another request may follow."""
        return self.whole and self._head is not None and self._head.persists and not self._received

    @property
    def gone(self) -> bool:
        """Whether the server has closed an idle connection, or sent what was not asked for."""
        return bool(self._socket.is_readable())

    def close(self) -> None:
        """Close it at once."""
        self._socket.close()

    async def ask(self, request: bytes) -> AnswerHead:
        """Send a request, head and body, and return the head of its answer.

        Raises:
            ConnectionLost: the connection broke before there was an answer.
            NotHttp: the answer is none, or the server closed the connection instead.
        """
        lost: ConnectionLost | None = None
        self.whole = False
        try:
            await self._write(request)
        except ConnectionLost as error:
            # A server may answer, and close, before it has read everything.
            lost = error
        head = await self._read_head(lost)
        while head.status < 200:
            if head.status == _SWITCHING:
                raise NotHttp("it changes to another protocol")
            head = await self._read_head(lost)
        self._head, self._left, self._chunks = head, head.length, Chunks() if head.chunked else None
        self.whole = head.length == 0
        return head

    async def _read_head(self, lost: ConnectionLost | None) -> AnswerHead:
        while (found := split_head(self._received)) is None:
            try:
                data = await self._read()
            except ConnectionLost as error:
                raise lost or error from None
            if not data:
                words = "the answer ends within its head" if self._received else "it closed the connection"
                raise lost or NotHttp(words)
            self._received += data
        head, self._received = found
        return parse_head(head)

    async def receive(self) -> bytes | None:
        """Return the next bytes of the body, at least one; None at its end. Cancelling it loses nothing.

        Raises:
            ConnectionLost: the connection broke.
            NotHttp: the body is cut off, or malformed.
        """
        await self.give_way()
        while not (part := self.receive_now()) and not self.whole:
            data = await self._read()
            if not data:
                self._end_by_close()
            self._received = data
        return part or None

    async def give_way(self) -> None:
        """Let other tasks have their turn, and deadlines pass, where much was read without a wait."""
        if self._unwaited < UNWAITED_BYTES:
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        self._unwaited = 0
        await trio.lowlevel.checkpoint()

    def receive_now(self) -> bytes:
        """Return what has come of the body; nothing where `receive` has to wait, and at its end. Raises the same."""
        while not self.whole:
            data, self._received = self._received, b""
            if not data:
                data = self._read_now()
            if not data:
                return b""
            self._unwaited += len(data) + _READ_COSTS
            part = self._take(data)
            if part:
                return part
        return b""

    def _take(self, data: bytes) -> bytes:
        if self._chunks is not None:
            part = self._chunks.feed(data)
            if self._chunks.ended:
                self.whole, self._received = True, self._chunks.rest
            return part
        if self._left is None:
            return data
        part, self._received = data[: self._left], data[self._left :]
        self._left -= len(part)
        self.whole = not self._left
        return part

    def _end_by_close(self) -> None:
        if self._head is None or self._head.framed:
            raise NotHttp("the connection ended within the body")
        self.whole = True

    def _read_now(self) -> bytes:
        """Return what has come already; nothing also at the end, and where that is not known."""
        if self._descriptor < 0:
            return b""
        try:
            return os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise ConnectionLost(_words(error)) from error

    async def _read(self) -> bytes:
        self._unwaited = 0
        try:
            if self._descriptor < 0:
                return bytes(await self._stream.receive_some(READ_BYTES))
            while True:
                await trio.lowlevel.wait_readable(self._descriptor)
                try:
                    return os.read(self._descriptor, READ_BYTES)
                except BlockingIOError:
                    continue
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost(_words(error)) from error

    async def _write(self, data: bytes) -> None:
        try:
            if self._descriptor < 0:
                await self._stream.send_all(data)
                return
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._descriptor)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost(_words(error)) from error


async def connect(origin: Origin) -> HttpConnection:
    """Open a connection.

    Raises:
        NoConnection: there is none; or the server's certificate is not trusted.
    """
    try:
        tcp = await trio.open_tcp_stream(origin.address or origin.host, origin.port)
    except OSError as error:
        raise NoConnection(_words(error)) from error
    if origin.scheme != "https":
        return HttpConnection(tcp)
    stream = trio.SSLStream(tcp, origin.tls or trusted(), server_hostname=origin.host, https_compatible=True)
    try:
        await stream.do_handshake()
    except BaseException as error:
        tcp.socket.close()
        if isinstance(error, trio.BrokenResourceError | OSError):
            raise NoConnection(_words(error)) from error
        raise
    return HttpConnection(stream)


@cache
def trusted() -> ssl.SSLContext:
    """Load the authorities that are commonly trusted, once: it takes longer than a request."""
    context = httpcore.default_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _words(error: BaseException) -> str:
    return str(error.__cause__ or error) or type(error).__name__
