"""A receiver of callbacks on loopback that answers as it is told, and keeps what it was sent."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import h11
import trio
from attrs import define, field, frozen


@frozen
class Delivery:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes


@define
class Receiver:
    """What came, and what is answered: each of `answers` once, then 200."""

    port: int
    answers: list[int] = field(factory=list)
    deliveries: list[Delivery] = field(factory=list)
    came: trio.Event = field(factory=trio.Event)
    release: trio.Event | None = None
    """Nothing is answered before it is set."""
    retry_after: str | None = None
    """What each answer says of when to come again."""
    endless: bool = False
    """Whether the body of an answer has no end."""

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Where it is."""
        return f"{scheme}://{host}:{self.port}/hook?a=1"

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Answer one request."""
        connection = h11.Connection(h11.SERVER)
        head, body = None, b""
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(bytes(await stream.receive_some(65_536)))
                elif isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    break
            if head is None:
                return
            headers = {name.decode(): value.decode() for name, value in head.headers}
            self.deliveries.append(Delivery(head.target.decode(), headers, body))
            self.came.set()
            if self.release is not None:
                await self.release.wait()
            status = self.answers.pop(0) if self.answers else 200
            lines = [("Location", self.url()), ("Content-Length", str(10**12 if self.endless else 2))]
            if self.retry_after is not None:
                lines.append(("Retry-After", self.retry_after))
            await stream.send_all(connection.send(h11.Response(status_code=status, headers=lines)) or b"")
            await stream.send_all(b"ok")
            while self.endless:
                await stream.send_all(bytes(65_536))
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            return
        finally:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Listen on loopback."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    receiver = Receiver(listener.socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        listeners: list[trio.abc.Listener[trio.abc.Stream]] = [
            trio.SSLListener(listener, tls) if tls is not None else listener
        ]
        nursery.start_soon(partial(trio.serve_listeners, receiver.serve, listeners))
        yield receiver
        nursery.cancel_scope.cancel()
