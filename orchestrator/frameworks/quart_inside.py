"""What the service uses of the inside of Quart, quart-trio and Werkzeug.

Quart's own connections take in more than they may: since 0.23 bodies, and the messages of a socket, wait in queues
without a bound. So both are read here. Of the framework's connections it needs only that they are called with `receive`
and `send`, make a request or a websocket of the scope, and run the application on it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any, Final

import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart import Request, Response, Websocket, request, websocket
from quart.routing import QuartRule
from quart.wrappers.response import DataBody
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGIWebsocketConnection
from quart_trio.wrappers import TrioRequest
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as WerkzeugResponse

_MESSAGES_OF_CLIENT: Final = "orchestrator.messages"
_MESSAGES: Final = 10
"""Messages of a socket that wait to be read; the client's next ones wait in the network."""


def current_request() -> Request:
    """Return the request itself instead of Quart's proxy, whose every use costs a look-up."""
    proxy: Any = request
    found: Request = proxy._get_current_object()  # noqa: SLF001 # Werkzeug's documented way
    return found


def current_websocket() -> Websocket:
    """Return the websocket itself instead of Quart's proxy."""
    proxy: Any = websocket
    found: Websocket = proxy._get_current_object()  # noqa: SLF001 # Werkzeug's documented way
    return found


def whole_body(response: Response | WerkzeugResponse) -> bytes | None:
    """Return the body of a response that has it as a whole, None of one that has to be opened."""
    if isinstance(response, WerkzeugResponse):
        # Quart passes on what Werkzeug answers by itself, such as a redirect.
        return response.get_data()
    body: Any = response.response
    return body.data if isinstance(body, DataBody) else None


class MatchingRule(QuartRule):
    """A rule that matches paths only: no URL is made of a route by its name.

    Werkzeug compiles two functions a rule to make URLs, which took nine tenths of the making of an application.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # Werkzeug's
        return _no_url


def _no_url(rule: MatchingRule, **_: object) -> tuple[str, str]:
    raise RuntimeError(f"no URL is made of the route {rule.endpoint}")


class WebApplication(QuartTrio):
    """The application that the service's routes are registered with."""

    url_rule_class = MatchingRule  # type: ignore[assignment] # Flask, its base, names another class than Quart


class RequestBody:
    """The body of a request, which takes in no more than its limit.

    Args:
        expected_length: what the request says, in bytes.
        limit: the longest that is taken, in bytes; None: any.
    """

    def __init__(self, expected_length: int | None, limit: int | None) -> None:
        self._limit = limit
        self._data = bytearray()
        self._read = trio.Event()
        self._too_large = False
        self._check(expected_length or 0)

    def add(self, data: bytes) -> None:
        """Take in a piece; what comes after too much is dropped."""
        if not self._too_large:
            self._data += data
            self._check(len(self._data))

    def complete(self) -> None:
        """Take note that no more will come."""
        self._read.set()

    def clear(self) -> None:
        """Forget what came; Quart asks for it after a body that is not kept."""
        self._data.clear()

    def __await__(self) -> Generator[Any, None, bytes]:
        """Wait for the whole.

        Raises:
            RequestEntityTooLarge: it is longer than the limit; raised as soon as that shows.
        """
        return self._whole().__await__()

    async def _whole(self) -> bytes:
        await self._read.wait()
        if self._too_large:
            raise RequestEntityTooLarge
        return bytes(self._data)

    def _check(self, length: int) -> None:
        if self._limit is not None and length > self._limit:
            self._too_large = True
            self._data.clear()
            self._read.set()

    @property
    def whole(self) -> bytes | None:
        """The body, where all of it has come; else None, also where it is too long."""
        return bytes(self._data) if self._read.is_set() and not self._too_large else None


async def body_of(request: Request) -> bytes:
    """Return the body of a `BoundedRequest`; without a deadline where it has come with its head, as most do.

    Raises:
        RequestEntityTooLarge, RequestTimeout: the framework's own.
    """
    body: Any = request.body
    whole: bytes | None = body.whole
    if whole is not None:
        return whole
    read: bytes = await request.get_data(cache=True, as_text=False)  # type: ignore[assignment] # bytes without as_text
    return read


class BoundedRequest(TrioRequest):
    """A request with such a body; the application's `request_class`."""

    body_class = RequestBody  # type: ignore[assignment] # takes the place of Quart's, whose inside differs by version


class HTTPConnection(TrioASGIHTTPConnection, ABC):
    """One request of the application, which has `BoundedRequest` as the class of its requests."""

    _ending = False
    """Whether the answer's end is on its way: the disconnect that it causes must not cancel it."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer the request; a client that leaves before the answer's end cancels it."""
        request = self._create_request_from_scope(send)
        arrived = self._arrived()
        if arrived is not None:
            self._take(request, arrived)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_in, request, receive, nursery.cancel_scope)
            await self._serve(request, send)
            nursery.cancel_scope.cancel()

    @abstractmethod
    async def _serve(self, request: Request, send: ASGISendCallable) -> None:
        """Answer the request."""

    def _arrived(self) -> Any:
        """Return a message of the request that has come already; None: there is none, or that is not known."""
        return None

    async def _take_in(self, request: Request, receive: ASGIReceiveCallable, scope: trio.CancelScope) -> None:
        while True:
            message: Any = await receive()
            if message["type"] == "http.request":
                self._take(request, message)
            elif message["type"] == "http.disconnect":
                if not self._ending:
                    scope.cancel()
                return

    def _take(self, request: Request, message: Any) -> None:
        body: Any = request.body
        body.add(message.get("body", b""))
        if not message.get("more_body", False):
            body.complete()


class WebsocketConnection(TrioASGIWebsocketConnection):
    """One websocket of the application; `messages_of` finds what its client sends."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the socket; it is cancelled when the client has left."""
        arriving, messages = trio.open_memory_channel[str | bytes](_MESSAGES)
        scope: Any = self.scope
        scope.setdefault("state", {})[_MESSAGES_OF_CLIENT] = messages
        websocket = self._create_websocket_from_scope(send)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_in, arriving, receive, nursery.cancel_scope)
            await self.handle_websocket(nursery, websocket, send)
            nursery.cancel_scope.cancel()

    async def _take_in(
        self, arriving: trio.MemorySendChannel[str | bytes], receive: ASGIReceiveCallable, scope: trio.CancelScope
    ) -> None:
        while True:
            message: Any = await receive()
            if message["type"] == "websocket.receive":
                data = message.get("bytes")
                await arriving.send(message["text"] if data is None else data)
            elif message["type"] == "websocket.disconnect":
                scope.cancel()
                return


def messages_of(websocket: Websocket) -> trio.MemoryReceiveChannel[str | bytes]:
    """Return what the client of a websocket of a `WebsocketConnection` sends."""
    scope: Any = websocket.scope
    found: trio.MemoryReceiveChannel[str | bytes] = scope["state"][_MESSAGES_OF_CLIENT]
    return found
