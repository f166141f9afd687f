"""Requests by httpx that can be cancelled anywhere without warnings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import orjson
import trio

from orchestrator.clients.transport.http_transport import RequestBody


class _Body(RequestBody, httpx.AsyncByteStream):
    """Body of a request, as httpx takes it."""


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
