"""Where a Redis is, how to get in, and how a connection to it is made."""

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import outcome
import trio
from attrs import field, frozen

from orchestrator.frameworks.redis_inside import url_options
from orchestrator.store.redis.errors import RedisAway, reason_of
from orchestrator.store.redis.packing import pack
from orchestrator.store.redis.pending_replies import UNSENT, PendingReplies
from orchestrator.store.redis.wire import Wire, Wires

_KEEPALIVE_SECONDS = 15


@frozen
class Address:
    """Where a server is, and how to get in."""

    path: str | None = None
    """Of its unix socket; None: TCP."""
    host: str = "127.0.0.1"
    port: int = 6379
    tls: ssl.SSLContext | None = None
    username: str = "default"
    password: str | None = field(default=None, repr=False)
    database: int = 0

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a `redis://`, `rediss://` or `unix://` URL, with redis-py's own options for TLS.

        Raises:
            ValueError: it is none, or its options contradict each other.
            OSError: a certificate it names can't be read.
        """
        options = url_options(url)
        if url.startswith("unix:") and "path" not in options:
            raise ValueError("a unix:// URL needs the path of a socket")
        return cls(
            path=options.get("path"),
            host=options.get("host", "127.0.0.1"),
            port=options.get("port", 6379),
            tls=_tls(options) if url.startswith("rediss:") else None,
            username=options.get("username", "default"),
            password=options.get("password"),
            database=int(options.get("db", 0)),
        )

    def greeting(self, name: str) -> list[tuple[str | int, ...]]:
        """Return the commands by which a connection starts; PING is refused while the server loads its data."""
        credentials = () if self.password is None else ("AUTH", self.username, self.password)
        return [("HELLO", 3, *credentials, "SETNAME", name), ("SELECT", self.database), ("PING",)]


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"), cadata=options.get("ssl_ca_data")
    )
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.check_hostname = options.get("ssl_check_hostname", True)
    if options.get("ssl_cert_reqs") in {"none", "CERT_NONE"}:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    return context


@frozen
class ConnectionLimits:
    """Bounds of a connection; times in seconds."""

    connect_timeout: float = 5.0
    command_timeout: float | None = 5.0
    reconnect_wait: float = 1.0
    """How long a command waits for a connection that is being made again."""
    max_pending_bytes: int = 4 * 2**20


@asynccontextmanager
async def open_wire(
    address: Address,
    limits: ConnectionLimits,
    name: str,
    wires: Wires,
    on_push: Callable[[list[Any]], bool] = lambda _: False,
) -> AsyncIterator[Wire]:
    """Make a connection, say hello (RESP3, credentials, name, database), and serve it while the block runs.

    Raises:
        RedisAway: the server can't be reached, does not let us in, does not serve yet, or is a replica.
    """
    with trio.move_on_after(limits.connect_timeout) as connecting:
        try:
            sock = await _connect(address)
        except OSError as error:
            raise RedisAway(f"no connection: {error}", sent=False) from None
    if connecting.cancelled_caught:
        raise RedisAway(f"no connection within {limits.connect_timeout:g} s", sent=False)
    wire = Wire(
        sock,
        command_timeout=limits.command_timeout,
        max_pending_bytes=limits.max_pending_bytes,
        wires=wires,
        on_push=on_push,
    )
    result: outcome.Outcome[None] = outcome.Value(None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.run)
        try:
            await _greet(wire, address.greeting(name), limits.connect_timeout)
            yield wire
        except BaseException as error:  # noqa: BLE001 - raised again below, as it came and not in a group
            result = outcome.Error(error)
        wire.fail("the connection was closed")
    result.unwrap()


async def _connect(address: Address) -> socket.socket:
    """Return a connected socket that does not block."""
    if address.path is not None:
        return _detach(await trio.open_unix_socket(address.path))
    sock = _detach(await trio.open_tcp_stream(address.host, address.port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), _KEEPALIVE_SECONDS)
    return sock if address.tls is None else await _secure(sock, address.tls, address.host)


def _detach(stream: trio.SocketStream) -> socket.socket:
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    return sock


async def _secure(sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(wrapped)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(wrapped)
            else:
                return wrapped
    except BaseException:
        wrapped.close()
        raise


async def _greet(wire: Wire, commands: list[tuple[str | int, ...]], timeout: float) -> None:
    slot = PendingReplies(wire.now(), len(commands))
    with trio.move_on_after(timeout) as greeting:
        wire.submit(b"".join(map(pack, commands)), slot, len(commands))
        replies = await trio.lowlevel.wait_task_rescheduled(slot.abandon)
    if greeting.cancelled_caught:
        raise RedisAway(f"no answer within {timeout:g} s", sent=False)
    if replies is UNSENT or isinstance(replies, RedisAway):
        raise RedisAway(wire.reason or "", sent=False)
    for reply in replies:
        if isinstance(reply, Exception):
            raise RedisAway(reason_of(reply), sent=False)
    check_master(replies[0])


def check_master(hello: Any) -> None:
    """Check by its reply to HELLO that a server is a master; one that does not say what it is passes.

    Raises:
        RedisAway: it is a replica.
    """
    if isinstance(hello, dict) and hello.get(b"role") in {b"replica", b"slave"}:
        raise RedisAway("the server is a replica, which takes no writes (READONLY)", sent=False)
