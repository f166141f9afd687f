"""The events of a session as `text/event-stream`, for an `EventSource`: what its socket sends, no way back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import frozen
from quart import Response

from orchestrator.errors import NotFound, SessionClosed
from orchestrator.models.common.limits import RateClass
from orchestrator.models.events.events import StateUpdate
from orchestrator.routes.http.event_stream import EVENT_STREAM, Place, block, stream_response
from orchestrator.routes.http.registry import RouteCall, Routes
from orchestrator.routes.http.stream_tickets import StreamQuery
from orchestrator.routes.streams.lasting_events import LastEventId, LastingEvents, wanted_place
from orchestrator.services.subjects import SessionSubject
from orchestrator.store.events.event_hub import Follower
from orchestrator.store.events.events import LoggedEvent

session_stream_routes = Routes()


@frozen
class SessionStreamQuery(StreamQuery):
    """What `session.stream` takes."""

    last_event_id: LastEventId = None


@session_stream_routes.add(
    "GET",
    "session.stream",
    permission="session:read",
    id_name="session_id",
    query=SessionStreamQuery,
    answers="session.state_update",
    answer=StateUpdate,
    media_type=EVENT_STREAM,
    errors=(NotFound, SessionClosed),
    rate_class=RateClass.READ,
)
async def stream(call: RouteCall) -> Response:
    """Follow the events of a session, as its WebSocket sends them; for `EventSource`, with a ticket."""
    return stream_response(call, SessionEvents(call, wanted_place(call, call.query.last_event_id)))


class SessionEvents(LastingEvents):
    """A response body that follows a session until it is closed.

    Args:
        call: the request.
        place: the last event that the client has; None: none yet.
    """

    def __init__(self, call: RouteCall, place: Place | None) -> None:
        self._subject = SessionSubject(call.services, call.id)
        super().__init__(call, self._follow(call, place), subject="session", subject_id=call.id)

    @asynccontextmanager
    async def _follow(self, call: RouteCall, place: Place | None) -> AsyncIterator[Follower]:
        after, epoch = (None, None) if place is None else (place.offset, place.epoch)
        # Before anything is done for it: it may be another user's.
        await self._subject.look(call.ctx)
        async with call.services.event_hub.follow(call.ctx.tenant_id, call.id, after=after, epoch=epoch) as follower:
            # Asked again, so that no transition falls between this state and the first event.
            await self._subject.look(call.ctx)
            if after is None and (begin := await self._subject.beginning()) is not None:
                await follower.resume(begin, None)
            yield follower

    async def greeting(self, follower: Follower) -> bytes:
        """Return the session's state; and a snapshot where events are lost."""
        events = await self._subject.greeting(recovered=follower.recovered)
        return b"".join(self._placed(follower, name, data) for name, data in events)

    async def render(self, events: list[LoggedEvent]) -> bytes:
        """Write events up to the session's end."""
        written = b""
        for event in events:
            written += block(event, self._write)
            if self._subject.ending(event) is not None:
                self._ended = True
                break
        return written
