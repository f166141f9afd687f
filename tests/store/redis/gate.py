"""A gate before a real Redis: it can hold back what passes, cut it, speak nonsense, and demand TLS."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio


class Gate:
    """Passes bytes between clients and a Redis.

    Args:
        path: the socket of the Redis behind it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connections: set[trio.CancelScope] = set()
        self._clients: set[trio.abc.Stream] = set()
        self._open = trio.Event()
        self._open.set()
        self.url = ""
        self.certificate = Path()
        """Of the gate itself, where it demands TLS."""

    def hold(self) -> None:
        """Pass nothing on, in either direction, until `let_go`."""
        self._open = trio.Event()

    def let_go(self) -> None:
        """Pass everything on."""
        self._open.set()

    def cut(self) -> None:
        """Close every connection there is."""
        for scope in self._connections:
            scope.cancel()

    async def say(self, data: bytes) -> None:
        """Send bytes of our own to every client."""
        for stream in list(self._clients):
            await stream.send_all(data)

    async def serve(self, client: trio.abc.Stream) -> None:
        """Serve a connection."""
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            self._clients.add(client)
            try:
                async with client, await trio.open_unix_socket(self._path) as server, trio.open_nursery() as nursery:
                    nursery.start_soon(self._pass, client, server, nursery.cancel_scope)
                    nursery.start_soon(self._pass, server, client, nursery.cancel_scope)
            except OSError:
                return  # the Redis behind is away, and so is the gate then
            finally:
                self._connections.discard(scope)
                self._clients.discard(client)

    async def _pass(self, source: trio.abc.Stream, target: trio.abc.Stream, connection: trio.CancelScope) -> None:
        try:
            while True:
                await self._open.wait()
                data = await source.receive_some(65_536)
                await self._open.wait()
                if not data:
                    break
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            connection.cancel()


@asynccontextmanager
async def open_gate(redis_url: str, directory: Path, tls: ssl.SSLContext | None = None) -> AsyncIterator[Gate]:
    """Open a gate before the Redis at a `unix://` URL: on a unix socket, or on a loopback port with TLS."""
    gate = Gate(redis_url.removeprefix("unix://"))
    listener: trio.abc.Listener[trio.abc.Stream]
    if tls is None:
        path = directory / "gate.sock"
        sock = trio.socket.socket(trio.socket.AF_UNIX)
        await sock.bind(str(path))
        sock.listen()
        listener = trio.SocketListener(sock)
        gate.url = f"unix://{path}"
    else:
        [plain] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        gate.url = f"rediss://localhost:{plain.socket.getsockname()[1]}"
        listener = trio.SSLListener(plain, tls)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, gate.serve, [listener])
        yield gate
        nursery.cancel_scope.cancel()
