"""Listening, accepting, and stopping in order."""

import errno
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from socket import socket
from ssl import CERT_REQUIRED, OP_NO_TICKET, SSLContext
from typing import Any, Final

import structlog
import trio
from attrs import frozen
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import Framework
from hypercorn.utils import repr_socket_addr, wrap_app

from orchestrator.server.connection import Connection, Stream
from orchestrator.server.connections import Connections, CountBy
from orchestrator.server.context import ServerContext
from orchestrator.server.descriptors import descriptors, reserved
from orchestrator.server.limits import HTTP_ONLY, Limits
from orchestrator.server.refusals import RefusalBody, plain_body


@frozen
class Listener:
    """Where connections come in."""

    streams: trio.SocketListener | trio.SSLListener[trio.SocketStream]
    socket: trio.socket.SocketType
    url: str
    asks_for_certificates: bool = False


_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_log = structlog.get_logger("orchestrator.server")


async def serve(
    app: Framework,
    config: Config,
    limits: Limits | None = None,
    *,
    shutdown_trigger: Callable[[], Awaitable[object]] = trio.sleep_forever,
    refusal_body: RefusalBody = plain_body,
    count_by: CountBy = str,
    more: Sequence[Config] = (),
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until `shutdown_trigger` returns; reports the URLs that it listens on.

    A stop closes idle connections, lets what is being answered go on for `config.graceful_timeout` seconds, and then
    drops what is left. A cancellation drops every connection at once.

    Args:
        app: the application.
        config: where to listen, encryption, sizes; best a `ServerConfig`.
        limits: what connections may take.
        shutdown_trigger: returns when the server is to stop.
        refusal_body: makes the body of what the server answers by itself.
        count_by: makes of an address what its connections are counted under, None where they are not bounded.
        more: where to listen besides, each with its own encryption; all else is that of `config`.

    Raises:
        OSError: an address can't be listened on.
        LifespanFailureError: the application could not start, or not stop.
    """
    limits = limits or Limits()
    state: dict[str, Any] = {}
    wrapped = wrap_app(app, config.wsgi_max_body_size, "asgi")
    lifespan = Lifespan(wrapped, config, state)
    context = ServerContext(wrapped, config, limits, WorkerContext(None), state, refusal_body)
    async with trio.open_nursery() as living:
        await living.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        with ExitStack() as listening:
            listeners = [found for each in (config, *more) for found in listening.enter_context(_listening(each))]
            task_status.started([listener.url for listener in listeners])
            await _accept_until(shutdown_trigger, context, listeners, count_by)
        await lifespan.wait_for_shutdown()
        living.cancel_scope.cancel()


async def _accept_until(
    shutdown_trigger: Callable[[], Awaitable[object]],
    context: ServerContext,
    listeners: list[Listener],
    count_by: CountBy,
) -> None:
    limits = context.limits
    most = descriptors()
    most = max(1, min(limits.connections, most - reserved(most)))
    connections = Connections(most, limits.address_connections or max(1, most // 2), limits.spared_seconds)
    async with trio.open_nursery() as serving:
        serving.start_soon(connections.abort_when_cancelled)
        serving.start_soon(connections.watch_writes, limits.write_seconds)
        async with trio.open_nursery() as accepting:
            for listener in listeners:
                accepting.start_soon(_accept, listener, context, connections, count_by, serving)
            await shutdown_trigger()
            await context.worker.terminated.set()
            connections.stop(limits.arriving_seconds)
            await trio.sleep(limits.arriving_seconds)
            accepting.cancel_scope.cancel()
        for listener in listeners:
            listener.socket.close()
        with trio.move_on_after(context.config.graceful_timeout):
            await connections.gone()
        serving.cancel_scope.cancel()


async def _accept(
    listener: Listener, context: ServerContext, connections: Connections, count_by: CountBy, serving: trio.Nursery
) -> None:
    arrival = partial(trio.lowlevel.wait_readable, listener.socket)
    while True:
        await connections.room(arrival)
        try:
            stream: Stream = await listener.streams.accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            await connections.out_of_descriptors(error)
            continue
        try:
            connection = Connection(
                context, connections, stream, count_by, asks_for_certificates=listener.asks_for_certificates
            )
        except OSError:
            await trio.aclose_forcefully(stream)  # the client has gone already
        else:
            serving.start_soon(connection.run)


@contextmanager
def _listening(config: Config) -> Iterator[list[Listener]]:
    """Listen where the configuration says."""
    sockets = config.create_sockets()
    everything = [*sockets.secure_sockets, *sockets.insecure_sockets, *sockets.quic_sockets]
    encryption = config.create_ssl_context()
    if encryption is not None:
        encryption.set_alpn_protocols(HTTP_ONLY)
        if encryption.verify_mode is CERT_REQUIRED:
            # A session that is resumed brings no certificate anew: it could outlive it.
            encryption.num_tickets = 0
            encryption.options |= OP_NO_TICKET
    try:
        secure = [_listen(sock, config, encryption) for sock in sockets.secure_sockets]
        yield secure + [_listen(sock, config, None) for sock in sockets.insecure_sockets]
    finally:
        for sock in everything:
            sock.close()


def _listen(sock: socket, config: Config, encryption: SSLContext | None) -> Listener:
    sock.listen(config.backlog)
    bind = repr_socket_addr(sock.family, sock.getsockname())
    bound = trio.socket.from_stdlib_socket(sock)
    plain = trio.SocketListener(bound)
    if encryption is None:
        return Listener(plain, bound, f"http://{bind}")
    secured = trio.SSLListener(plain, encryption, https_compatible=True)
    return Listener(secured, bound, f"https://{bind}", encryption.verify_mode is CERT_REQUIRED)
