"""Streams of what has no end of its own: `GET` routes that an `EventSource` can follow.

The first event says where the client stands, and has an id; behind it comes what was missed since `Last-Event-ID`.
After an hour, and where the reader is too slow or the log began anew, a comment ends it, and the client asks again.
"""

from abc import abstractmethod
from typing import Annotated

import trio
from msgspec import Meta

from orchestrator.routes.http.event_stream import (
    KEEP_ALIVE,
    KEEP_ALIVE_SECONDS,
    EventStream,
    Place,
    block,
    last_event_id,
    read_place,
)
from orchestrator.routes.http.open_streams import StreamToken
from orchestrator.routes.http.registry import RouteCall
from orchestrator.store.events.event_hub import Follower
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.frames import make_body

LastEventId = Annotated[
    str | None, Meta(max_length=80, description="The last event that the client has; the header outweighs it.")
]
"""Where a stream begins, for clients that can't send `Last-Event-ID` with their first request."""


class LastingEvents(EventStream):
    """A stream that goes on until the client leaves, or what is followed is over."""

    _greeted = False

    @abstractmethod
    async def greeting(self, follower: Follower) -> bytes:
        """Return the blocks that say where the client stands."""

    @abstractmethod
    async def render(self, events: list[LoggedEvent]) -> bytes:
        """Write events; may set `_ended`."""

    async def _next(self, follower: Follower, token: StreamToken) -> bytes:
        if not self._greeted:
            self._greeted = True
            return await self.greeting(follower)
        began = trio.current_time()
        while True:
            events = await self._receive(follower, token)
            if events and (chunk := await self.render(events)):
                return chunk
            # Events that this client is not sent are no sign of life to it.
            if not events or trio.current_time() >= began + KEEP_ALIVE_SECONDS:
                return KEEP_ALIVE

    def _placed(self, follower: Follower, name: str, data: object) -> bytes:
        """Write an event that is in no log, with the id of the place where the client begins."""
        ctx = self._call.ctx
        body = make_body(name, data, tenant_id=ctx.tenant_id, correlation_id=ctx.correlation_id)
        return block(LoggedEvent(follower.offset, follower.epoch, name, body), self._write)


def wanted_place(call: RouteCall, query: str | None) -> Place | None:
    """Return where the client wants a stream to begin, by the header or the query; None: it has nothing yet.

    Raises:
        InvalidParameter: it is no id of an event.
    """
    return last_event_id(call) or (None if not query else read_place(query, "$.query.last_event_id"))
