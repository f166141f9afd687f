"""Sockets of a running service, as clients of either dialect open them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import trio
from attrs import field, frozen
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream
from wsproto.utilities import LocalProtocolError

from tests.platform.served import Served
from tests.platform.vectors import missing, vector
from tests.support.documented import name_of, validator
from tests.support.eventually import PATIENCE

EVENTS: Final = "events"
DOMAIN_ACTION: Final = "domain-action"
DIALECTS: Final = (EVENTS, DOMAIN_ACTION)
_TRANSLATED: Final = {
    "chat.status", "chat.stream", "chat.response", "tool.execute", "workflow.status", "system.error",
}  # fmt: skip


@frozen
class Socket:
    """A client's end of a socket."""

    socket: WebSocketConnection
    dialect: str
    seen: list[Any] = field(factory=list)

    @property
    def subprotocol(self) -> str | None:
        """The one that the server has selected."""
        return self.socket.subprotocol

    async def frame(self) -> Any:
        """Return the next frame, which the service's own document describes."""
        with trio.fail_after(2 * PATIENCE):
            frame = orjson.loads(await self.socket.get_message())
        name = name_of(frame)
        side = "domain_action" if self.dialect == DOMAIN_ACTION and name in _TRANSLATED else "server"
        validator(side, name).validate(frame)
        self.seen.append(frame)
        return frame

    async def until(self, name: str, holds: Callable[[Any], Any] = bool) -> Any:
        """Return the next frame of a type whose data are as they should be."""
        while True:
            frame = await self.frame()
            if name_of(frame) == name and holds(frame["data"]):
                return frame

    async def say(self, frame: Any) -> None:
        """Send a frame."""
        await self.socket.send_message(orjson.dumps(frame).decode())

    async def close_code(self) -> int:
        """Read to the end; returns the code that the server closed with."""
        with trio.fail_after(2 * PATIENCE):
            try:
                while True:
                    self.seen.append(orjson.loads(await self.socket.get_message()))
            except ConnectionClosed as closed:
                return int(closed.reason.code) if closed.reason is not None else 1006


@asynccontextmanager
async def open_socket(
    served: Served,
    path: str,
    dialect: str = EVENTS,
    *,
    headers: Sequence[tuple[str, str]] | None = None,
    subprotocols: Sequence[str] = (),
) -> AsyncIterator[Socket]:
    """Open a socket; the user's token comes as header unless other headers are given."""
    url = urlsplit(served.url)
    sent = [("Authorization", f"Bearer {served.token}"), ("X-Tenant-ID", "acme")] if headers is None else headers
    offered = [DOMAIN_ACTION, *subprotocols] if dialect == DOMAIN_ACTION else [*subprotocols]
    refused: list[BaseException] = []
    try:
        stream = await trio.open_tcp_stream(str(url.hostname), int(url.port or 80))
        async with stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(
                nursery,
                stream,
                url.netloc,
                path,
                extra_headers=[(name.encode(), value.encode()) for name, value in sent],
                subprotocols=offered,
            )
            async with socket:
                yield Socket(socket, dialect)
    except* LocalProtocolError:
        # The library answers a ping that comes while it says goodbye, and its own protocol layer refuses that.
        pass
    except* ConnectionRejected as group:
        refused += group.exceptions
    if refused:
        raise refused[0]


def lacks_frame(name: str, frame: Any, *nullable: str) -> list[str]:
    """Say what a documented frame has that this one lacks, its type included."""
    example = vector(name).example
    faults = missing(example, frame, nullable=frozenset(nullable))
    return faults if frame["type"] == example["type"] else [f"the type is {frame['type']}", *faults]
