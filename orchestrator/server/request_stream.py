"""One HTTP request and its answer, between the protocol and the application."""

from collections.abc import Callable
from typing import Any

import trio
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.typing import AppWrapper

from orchestrator.config.constants import BODY_EXTENSION, BODY_FOLLOWS


class RequestStream(HTTPStream):
    """One request; what the application sends after the client has left is dropped.

    An application finds `send_body_now` in its scope, as the extension `orchestrator.body`: it goes beyond what ASGI
    has.

    Args:
        write_now: writes a piece of the body without waiting, where that can be.
        app: the application.
        given: what else Hypercorn's stream is made of.
    """

    def __init__(self, write_now: Callable[[bytes], bool], app: AppWrapper, *given: Any) -> None:
        super().__init__(self._serve, *given)
        self._application = app
        self._write_now = write_now
        self.body_follows = False
        """Whether a piece of the body comes right behind the head."""
        self.ending = False
        """Whether the piece of the body that comes is the last one, and its end follows at once."""

    async def end_body(self, data: bytes) -> None:
        """Hand the application the end of the body, and what has come of it with that: one message instead of two."""
        if not self.closed:
            await self.app_put({"type": "http.request", "body": data, "more_body": False})

    def send_body_now(self, data: bytes) -> bool:
        """Send a piece of the body without waiting; returns false, and sends nothing, where that can't be."""
        if self.closed or self.state is not ASGIHTTPState.RESPONSE or self.scope["method"] == "HEAD":
            return False
        return self._write_now(data)

    async def app_send(self, message: Any) -> None:
        """Take a message of the application; None: it has ended."""
        if self.closed:
            await trio.lowlevel.checkpoint()  # an application that sends on and on must not keep the others waiting
            return
        if message is not None and message["type"] == "http.response.body":
            self.ending = not message.get("more_body", False)
        elif message is not None and message["type"] == "http.response.start":
            self.body_follows = bool(message.get(BODY_FOLLOWS)) and self.scope["method"] != "HEAD"
        await super().app_send(message)

    async def _serve(self, scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
        scope["extensions"][BODY_EXTENSION] = self.send_body_now
        await self._application(scope, receive, send, sync_spawn, call_soon)
