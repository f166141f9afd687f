"""Streams of events, read block by block over bare ASGI."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
import trio
from attrs import define, field
from quart_trio import QuartTrio


@define
class Stream:
    """The reading side of a stream, block by block."""

    messages: trio.MemoryReceiveChannel[dict[str, Any]]
    status: int = 0
    headers: dict[str, str] = field(factory=dict)
    rest: bytes = b""

    async def start(self) -> None:
        message = await self.messages.receive()
        self.status = message["status"]
        self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}

    async def block(self) -> dict[str, str]:
        """Return the fields of the next event."""
        while b"\n\n" not in self.rest:
            self.rest += (await self.messages.receive())["body"]
        raw, _, self.rest = self.rest.partition(b"\n\n")
        return dict(line.split(": ", 1) for line in raw.decode().split("\n") if not line.startswith(":"))

    async def event(self) -> tuple[str, str, Any]:
        """Return the id, the name and the frame of the next event."""
        fields = await self.block()
        return fields.get("id", ""), fields["event"], orjson.loads(fields["data"])

    async def names(self, count: int) -> list[str]:
        return [(await self.block())["event"] for _ in range(count)]

    async def end(self) -> bytes:
        async for message in self.messages:
            self.rest += message["body"]
        return self.rest


@asynccontextmanager
async def open_stream(
    app: QuartTrio, method: str, path: str, headers: Mapping[str, str], *, body: Any = None, within: float = 5
) -> AsyncIterator[Stream]:
    """Ask for a stream over bare ASGI; at the end of the block the client leaves."""
    to_app, at_app = trio.open_memory_channel[dict[str, Any]](10)
    from_app, to_client = trio.open_memory_channel[dict[str, Any]](100)
    sent = {"Content-Type": "application/json", **headers} if body is not None else headers
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }

    async def serve() -> None:
        async with from_app:
            await app(scope, at_app.receive, from_app.send)  # type: ignore[arg-type] # a bare ASGI scope

    with trio.fail_after(within):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            raw = b"" if body is None else orjson.dumps(body)
            await to_app.send({"type": "http.request", "body": raw, "more_body": False})
            stream = Stream(to_client)
            await stream.start()
            yield stream
            await to_app.send({"type": "http.disconnect"})
