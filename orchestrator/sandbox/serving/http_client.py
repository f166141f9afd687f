"""Asking others by httpx, and leaving everything in order wherever a cancellation strikes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import httpx
import orjson
import trio


class _Body(httpx.AsyncByteStream):
    """A request's body. httpx' own is a generator, which complains when a cancelled send drops it half-way."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


@asynccontextmanager
async def posted(
    client: httpx.AsyncClient, url: str, value: Any, headers: dict[str, str], timeout: httpx.Timeout
) -> AsyncIterator[httpx.Response]:
    """POST JSON, and give the answer while it arrives; raises what httpx raises."""
    content = orjson.dumps(value)
    needed = {
        "Host": httpx.URL(url).netloc.decode("ascii"),
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
    }
    request = httpx.Request(
        "POST",
        url,
        headers={**headers, **needed},
        stream=_Body(content),
        extensions={"timeout": timeout.as_dict()},
    )
    response = await client.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


@asynccontextmanager
async def streamed_lines(response: httpx.Response) -> AsyncIterator[AsyncIterator[str]]:
    """Give the lines of a response; whoever is done with them early just leaves the block."""
    lines = response.aiter_lines()
    try:
        yield lines
    finally:
        # httpx nests its generators, and complains of those that are dropped half-way: a cancelled read unwinds them
        # all, innermost first.
        with trio.CancelScope() as scope, suppress(httpx.HTTPError):
            scope.cancel()
            async for _ in lines:
                pass
