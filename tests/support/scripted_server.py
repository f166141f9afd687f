"""A small HTTP server that answers as a test tells it, down to the last byte."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import trio
from attrs import frozen


@frozen
class Asked:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


Handler = Callable[[Asked, trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[str]:
    """Serve on loopback while the block runs, and hand out the base URL."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(_listen, handler)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def _listen(handler: Handler, *, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
    async def connection(stream: trio.SocketStream) -> None:
        data = b""
        try:
            while True:
                asked, data = await _receive(stream, data)
                await handler(asked, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            return

    await trio.serve_tcp(connection, 0, host="127.0.0.1", task_status=task_status)


async def _receive(stream: trio.SocketStream, data: bytes) -> tuple[Asked, bytes]:
    while b"\r\n\r\n" not in data:
        data += await _some(stream)
    head, _, data = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(data) < length:
        data += await _some(stream)
    method, target, _ = first.split(" ")
    return Asked(method, target, headers, data[:length]), data[length:]


async def _some(stream: trio.SocketStream) -> bytes:
    data = bytes(await stream.receive_some())
    if not data:
        raise EOFError
    return data


async def reply(stream: trio.SocketStream, body: Any, status: int = 200, *headers: str) -> None:
    """Answer with JSON, or with bytes as they are."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} X", f"Content-Length: {len(raw)}", *headers))
    await stream.send_all(head.encode() + b"\r\n" + raw)


async def begin_stream(stream: trio.SocketStream) -> None:
    """Begin a chunked answer."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


async def send_lines(stream: trio.SocketStream, *messages: Any) -> None:
    """Send messages as one chunk of newline-delimited JSON."""
    raw = b"".join(message if isinstance(message, bytes) else orjson.dumps(message) + b"\n" for message in messages)
    await stream.send_all(b"%x\r\n%b\r\n" % (len(raw), raw))


async def end_stream(stream: trio.SocketStream) -> None:
    """End a chunked answer."""
    await stream.send_all(b"0\r\n\r\n")


async def stream_all(stream: trio.SocketStream, *messages: Any) -> None:
    """Answer with a whole stream, each message in a chunk of its own."""
    await begin_stream(stream)
    for message in messages:
        await send_lines(stream, message)
    await end_stream(stream)


def token(text: str, content_type: str = "response", *, is_last: bool = False) -> dict[str, Any]:
    return {
        "type": {"domain": "agent", "action": "token"},
        "payload": {"token": text, "content_type": content_type, "is_last": is_last},
    }


def tool_request(tool_call_id: str, tool_id: str, **parameters: Any) -> dict[str, Any]:
    return {
        "type": "agent.tool_request",
        "payload": {"tool_call_id": tool_call_id, "tool_id": tool_id, "parameters": parameters},
    }


def response(text: str) -> dict[str, Any]:
    return {
        "type": "agent.response",
        "payload": {
            "response": text,
            "sources": [{"title": "A"}],
            "tool_calls": [],
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
        },
    }
