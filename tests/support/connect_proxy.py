"""A proxy on loopback that opens tunnels (`CONNECT`), wherever they are said to lead."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio
from attrs import define, field

OPENED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


@define
class ConnectProxy:
    """A running proxy.

    Args:
        port: of the service to which every tunnel leads.
        answer: to each request for a tunnel; what is no success opens none.
    """

    port: int
    answer: bytes = OPENED
    url: str = ""
    asked: list[str] = field(factory=list)
    """The head of each request."""

    async def serve(self, client: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = await client.receive_some()
            if not received:
                return
            head += received
        self.asked.append(head.decode())
        await client.send_all(self.answer)
        if not self.answer.startswith(b"HTTP/1.1 200"):
            return
        service = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with service, trio.open_nursery() as nursery:
            nursery.start_soon(_pass_on, client, service)
            nursery.start_soon(_pass_on, service, client)


@asynccontextmanager
async def connect_proxy(port: int, answer: bytes = OPENED) -> AsyncIterator[ConnectProxy]:
    """Serve while the block runs."""
    proxy = ConnectProxy(port, answer)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1"))
        proxy.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        yield proxy
        nursery.cancel_scope.cancel()


async def _pass_on(one: trio.SocketStream, other: trio.SocketStream) -> None:
    try:
        async for data in one:
            await other.send_all(data)
        await other.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
