"""One connection: what comes in, what goes out, and how it ends.

One task reads, and is the only one that gives the protocol what has come. The tasks of the application write, one at a
time; a write is never cut short by a cancellation, which would leave half a frame on the wire, but the connection is
dropped under a write that takes too long. However a connection ends, its descriptor is closed at once.
"""

import os
import socket
import struct
from contextlib import suppress
from math import inf
from typing import Final

import structlog
import trio
from attrs import evolve
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.utils import parse_socket_addr

from orchestrator.config.constants import CLIENT_SUBJECTS
from orchestrator.server.application import ApplicationTasks
from orchestrator.server.certificates import subjects
from orchestrator.server.connections import Connections, CountBy
from orchestrator.server.context import ServerContext
from orchestrator.server.http_protocol import HttpProtocol
from orchestrator.server.refusals import HEAD_TOO_SLOW, TOO_MANY_CONNECTIONS

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

READ_BYTES: Final = 65_536
WRITE_BYTES: Final = 65_536
"""What the client has to take within the deadline of a write."""
_RESET: Final = struct.pack("ii", 1, 0)
"""Value of SO_LINGER: a close throws away what is not sent, and resets the connection."""
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
_log = structlog.get_logger("orchestrator.server")


class Connection:
    """One accepted connection.

    Args:
        context: what all connections share.
        connections: where it is counted.
        stream: to the client.
        count_by: makes of the client's address what it is counted under.
        asks_for_certificates: whether the listener lets in only clients with a certificate.

    Raises:
        OSError: the client has gone already.
    """

    def __init__(
        self,
        context: ServerContext,
        connections: Connections,
        stream: Stream,
        count_by: CountBy,
        *,
        asks_for_certificates: bool = False,
    ) -> None:
        self._tcp = stream if isinstance(stream, trio.SocketStream) else stream.transport_stream
        sock = self._tcp.socket
        self.ssl = self._tcp is not stream
        self.client: tuple[str, int] | None = parse_socket_addr(sock.family, sock.getpeername())
        self.server: tuple[str, int] | None = parse_socket_addr(sock.family, sock.getsockname())
        self.address = None if self.client is None else count_by(self.client[0])
        self._context = context
        self._limits = context.limits
        self._asks_for_certificates = asks_for_certificates
        self._connections = connections
        self._stream = stream
        self._protocol: HttpProtocol
        self._tasks = ApplicationTasks()
        self._sending = trio.Lock()
        self._rest = b""
        """What `write_now` has left, to be written before anything else."""
        self._reading = trio.CancelScope()
        self._receiving: trio.CancelScope | None = None
        self._deadline = trio.current_time() + self._head_seconds
        self._awaits_head = False
        self._resumed = False
        self._finishing = False
        self._closed = False
        self._allowed = connections.add(self)

    @property
    def _head_seconds(self) -> float:
        stopping = self._context.worker.terminated.is_set()
        return self._limits.arriving_seconds if stopping else self._limits.head_seconds

    async def run(self) -> None:
        """Serve the connection to its end; whatever goes wrong is logged, and ends it alone."""
        try:
            if await self._secure():
                await self._serve()
        except* Exception:  # noqa: BLE001 - the boundary of a connection: nothing of it may end the others
            _log.exception("connection.failed", client=self.client)
        finally:
            self.close()
            self._connections.remove(self)

    async def _secure(self) -> bool:
        """Agree on encryption, where there is any; returns whether there is a connection."""
        if isinstance(self._stream, trio.SocketStream):
            return True
        try:
            with trio.fail_after(self._limits.head_seconds):
                await self._stream.do_handshake()
        except (*_GONE, trio.TooSlowError):
            return False
        if self._asks_for_certificates:
            state = {**self._context.state, CLIENT_SUBJECTS: subjects(self._stream.getpeercert())}
            self._context = evolve(self._context, state=state)
        return True

    async def _serve(self) -> None:
        async with self._tasks as tasks:
            self._protocol = HttpProtocol(self._context, self, tasks)
            try:
                with self._reading:
                    if not self._allowed:
                        await self._protocol.refuse(TOO_MANY_CONNECTIONS)
                    await self._read()
            finally:
                self.close()
            await self._protocol.handle(Closed())

    # Reading

    async def _read(self) -> None:
        """Give the protocol what comes, until the client has closed or the connection is dropped."""
        while data := await self._receive():
            if not self._finishing:
                await self._protocol.handle(RawData(data=data))
                self._bound_head()

    async def _receive(self) -> bytes:
        """Wait for bytes; returns none at the end, or where the connection has had its time."""
        while True:
            if self._resumed:
                self._resumed = False
                await self._protocol.resume()
                self._bound_head()
            with trio.CancelScope(deadline=self._deadline) as self._receiving:
                try:
                    return bytes(await self._stream.receive_some(READ_BYTES))
                except _GONE:
                    return b""
            self._receiving = None
            if self._resumed:
                continue
            if self._finishing or not self._protocol.in_head:
                return b""
            await self._protocol.refuse(HEAD_TOO_SLOW)

    def _bound_head(self) -> None:
        """Give the head of a request its time, from the first of its bytes."""
        if self._protocol.in_head and not self._awaits_head:
            self._awaits_head = True
            self._set_deadline(trio.current_time() + self._head_seconds)

    def resume(self) -> None:
        """Let the reader go on with what has come already."""
        self._resumed = True
        if self._receiving is not None:
            self._receiving.cancel()

    def end_within(self, seconds: float) -> None:
        """Close the connection where nothing begins within so many seconds, or sooner if it has less time left."""
        self._set_deadline(min(self._deadline, trio.current_time() + seconds))

    def _set_deadline(self, deadline: float) -> None:
        self._deadline = deadline
        if self._receiving is not None:
            self._receiving.deadline = deadline

    # Writing

    async def protocol_send(self, event: Event) -> None:
        """Write bytes, close, or take note that the connection is idle or busy."""
        if isinstance(event, RawData):
            await self.write(event.data)
        elif isinstance(event, Closed):
            await self._finish()
        elif isinstance(event, Updated) and not self._finishing:
            self._note(idle=event.idle)

    def _note(self, *, idle: bool) -> None:
        self._awaits_head = False
        if idle:
            self._connections.idle(self)
            self._set_deadline(trio.current_time() + self._context.config.keep_alive_timeout)
        else:
            self._connections.busy(self)
            self._set_deadline(inf)

    async def write(self, data: bytes) -> None:
        """Write; a client that does not read in time is dropped, and what is written afterwards is lost."""
        if self._finishing:
            await trio.lowlevel.checkpoint()
            return
        taken = self._taken_at_once(data)
        if data and taken == len(data):
            # As a rule the system takes all of it; others have their turn all the same.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        with trio.CancelScope(shield=True):
            async with self._sending:
                await self._send(data[taken:])

    def write_now(self, data: bytes) -> bool:
        """Write without waiting; returns false, and writes nothing, where that can't be.

        It can't where something is being written, where the system takes nothing at the moment, and on an encrypted
        connection. What the system takes only in part is written by a task of the connection, before anything else.
        """
        taken = self._taken_at_once(data)
        if not taken:
            return False
        if taken < len(data):
            self._rest = data[taken:]
            self._tasks.spawn(self.write, b"")
        return True

    def _taken_at_once(self, data: bytes) -> int:
        """Write what the system takes now, unless something has to be written before; returns how many bytes."""
        if self.ssl or self._finishing or self._rest or self._sending.locked():
            return 0
        try:
            return os.write(self._tcp.socket.fileno(), data)
        except OSError:
            return 0  # there is no room, or the client has gone, which a write that waits finds out

    async def _send(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        try:
            for start in range(0, len(data), WRITE_BYTES):
                self._connections.writing(self)
                await self._stream.send_all(data[start : start + WRITE_BYTES])
        except _GONE:
            self.close()
        finally:
            self._connections.written(self)

    # The end

    async def _finish(self) -> None:
        """Close in order: everything is written, the client hears of the end, and may close too (RFC 6455, 7.1.1).

        What it still sends is thrown away: unread bytes would reset the connection, and the client would lose what
        was written last.
        """
        if self._finishing:
            return
        self._finishing = True
        self._connections.idle(self)
        self._set_deadline(trio.current_time() + self._limits.linger_seconds)
        with trio.CancelScope(shield=True), suppress(*_GONE):
            async with self._sending:
                await self._send(b"")
                await self._tcp.send_eof()

    def close(self) -> None:
        """Close the descriptor at once; what is written already still goes out."""
        self._finishing = self._closed = True
        self._tcp.socket.close()
        self._reading.cancel()

    def abort(self) -> None:
        """Drop the connection at once; what is being written is thrown away, here and in the system's buffers."""
        if not self._closed and (self._rest or self._sending.locked()):
            with suppress(OSError):
                self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()
