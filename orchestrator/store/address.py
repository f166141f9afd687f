"""How a connection to Redis is made: where the server is, how to get in, and what a connection is bound by."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import hiredis
import trio
from attrs import frozen
from redis.connection import parse_url
from redis.exceptions import RedisError

from orchestrator.errors import StoreUnavailable
from orchestrator.store.wire import ConnectionLost, Wire


class RedisAway(StoreUnavailable):
    """Redis can't be reached, or does not serve at the moment.

    Args:
        reason: why, for the logs and the operator.
        sent: whether the command may have been executed all the same.
    """

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__("The store is away; try again in a moment.", retry_after_ms=1000)
        self.reason = reason
        self.sent = sent


@frozen
class Address:
    """Where a server is, and how to get in."""

    connect: Callable[[], Any]
    """Makes the socket."""
    username: str | None
    password: str | None
    database: int

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a `redis://`, `rediss://` or `unix://` URL, with redis-py's own options for TLS.

        Raises:
            ValueError: it is none.
        """
        options: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call] # of redis-py
        connect: Callable[[], Any]
        if "path" in options:
            connect = partial(trio.open_unix_socket, options["path"])
        else:
            host, port = options.get("host", "127.0.0.1"), options.get("port", 6379)
            connect = partial(_connect_tcp, host, port, _tls(options) if url.startswith("rediss:") else None)
        return cls(connect, options.get("username"), options.get("password"), int(options.get("db", 0)))


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if options.get("ssl_cert_reqs") in {"none", "CERT_NONE"}:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


async def _connect_tcp(host: str, port: int, context: ssl.SSLContext | None) -> trio.abc.Stream:
    stream = await trio.open_tcp_stream(host, port)
    if context is None:
        return stream
    wrapped: trio.SSLStream[trio.SocketStream] = trio.SSLStream(stream, context, server_hostname=host)
    await wrapped.do_handshake()
    return wrapped


@frozen
class Limits:
    """Bounds of a connection; times in seconds."""

    connect_timeout: float = 5.0
    command_timeout: float | None = 5.0
    reconnect_wait: float = 1.0
    """How long a command waits for a connection that is being made again."""
    max_pending_bytes: int = 4 * 2**20


@asynccontextmanager
async def open_wire(
    address: Address, limits: Limits, name: str, on_push: Callable[[list[Any]], None] | None = None
) -> AsyncIterator[Wire]:
    """Make a connection, say hello (RESP3, credentials, name, database), and serve it while the block runs.

    Raises:
        RedisAway: the server can't be reached, or does not let us in.
    """
    with trio.move_on_after(limits.connect_timeout) as connecting:
        try:
            stream = await address.connect()
        except (OSError, trio.BrokenResourceError, ssl.SSLError) as error:
            raise RedisAway(f"no connection: {error}", sent=False) from None
    if connecting.cancelled_caught:
        raise RedisAway(f"no connection within {limits.connect_timeout:g} s", sent=False)
    wire = Wire(
        stream, command_timeout=limits.command_timeout, max_pending_bytes=limits.max_pending_bytes, on_push=on_push
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.run)
        with trio.move_on_after(limits.connect_timeout) as greeting:
            await _greet(wire, address, name)
        if greeting.cancelled_caught:
            raise RedisAway(f"no answer within {limits.connect_timeout:g} s", sent=False)
        yield wire
        nursery.cancel_scope.cancel()


async def _greet(wire: Wire, address: Address, name: str) -> None:
    hello: list[Any] = ["HELLO", 3]
    if address.password is not None:
        hello += ["AUTH", address.username or "default", address.password]
    commands = [(*hello, "SETNAME", name), ("SELECT", address.database)]
    try:
        replies = await wire.execute(b"".join(map(hiredis.pack_command, commands)), len(commands))
    except ConnectionLost as lost:
        raise RedisAway(lost.reason, sent=False) from None
    for reply in replies:
        if isinstance(reply, RedisError):
            raise RedisAway(f"the server refuses: {reply}", sent=False)
