"""Requests by httpx that can be cancelled anywhere without warnings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import httpx
import orjson
import trio


class _Body(httpx.AsyncByteStream):
    """Body of a request. httpx would use an async generator; trio warns of one that is not finished."""

    def __init__(self, content: bytes) -> None:
        self._rest = [content] if content else []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        return self._rest.pop()


@asynccontextmanager
async def posted(
    client: httpx.AsyncClient, url: str, value: Any, headers: dict[str, str], timeout: httpx.Timeout
) -> AsyncIterator[httpx.Response]:
    """POST JSON, and stream the answer; raises httpx's exceptions."""
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
    """Give the lines of a response; the block may be left before the last one."""
    lines = response.aiter_lines()
    try:
        yield lines
    finally:
        # httpx nests generators, and trio warns of unfinished ones: a cancelled read unwinds them, innermost first.
        with trio.CancelScope() as scope, suppress(httpx.HTTPError):
            scope.cancel()
            async for _ in lines:
                pass
