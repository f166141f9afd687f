"""WebSockets of the service: straight, or through the proxy that the environment names."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio
from trio_websocket import WebSocketConnection, open_websocket_url, wrap_client_stream

from cli.core.interrupts import ungrouped
from cli.http.connection import Deadline, tunnelled
from cli.http.errors import HttpError
from cli.http.urls import Address, address_of, proxy_of

if TYPE_CHECKING:
    import ssl

_FRAME_BYTES: Final = 16 * 2**20
_CLOSING_SECONDS: Final = 1.0


@asynccontextmanager
async def open_socket(
    url: str, tls: "ssl.SSLContext | None", headers: Sequence[tuple[bytes, bytes]], *, within: float
) -> AsyncIterator[WebSocketConnection]:
    """Connect to a WebSocket, and close it after the block.

    Args:
        url: by `ws://` or `wss://`.
        tls: for `wss://`.
        headers: of the handshake.
        within: the seconds that the connection may take.

    Raises:
        HandshakeError, OSError: there is no connection.
    """
    address = address_of(f"http{url.removeprefix('ws')}")
    proxy = proxy_of(address)
    if proxy is None:
        async with open_websocket_url(
            url,
            ssl_context=tls,
            extra_headers=list(headers),
            max_message_size=_FRAME_BYTES,
            connect_timeout=within,
            disconnect_timeout=_CLOSING_SECONDS,
        ) as socket:
            yield socket
        return
    with ungrouped():
        async with trio.open_nursery() as nursery:
            opened: WebSocketConnection | None = None
            with trio.move_on_after(within):
                stream = await _through(address, proxy, tls, within)
                opened = await wrap_client_stream(
                    nursery,
                    stream,
                    address.authority,
                    "/" + url.partition("://")[2].partition("/")[2],
                    extra_headers=list(headers),
                    max_message_size=_FRAME_BYTES,
                )
            if opened is None:
                raise TimeoutError(f"the proxy {proxy.origin} or the service behind it took too long")
            try:
                yield opened
            finally:
                with trio.move_on_after(_CLOSING_SECONDS, shield=True):
                    await opened.aclose()
            nursery.cancel_scope.cancel()


async def _through(
    address: Address, proxy: Address, tls: "ssl.SSLContext | None", within: float
) -> "trio.SocketStream | trio.SSLStream[trio.SocketStream]":
    """Return a stream to a service through a tunnel, also by `ws://`: what forwards requests lets no socket pass."""
    try:
        sock = await trio.to_thread.run_sync(tunnelled, address, proxy, Deadline(within), abandon_on_cancel=True)
    except HttpError as error:
        raise OSError(str(error)) from None
    sock.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    if tls is None:
        return stream
    secured = trio.SSLStream(stream, tls, server_hostname=address.host)
    try:
        await secured.do_handshake()
    except trio.BrokenResourceError as error:
        raise OSError(str(error.__cause__ or "the proxy broke off")) from None
    return secured
