"""All that happens to a tenant, as a stream for its operators."""

from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final

import orjson
import trio
from attrs import frozen
from msgspec import Meta
from quart import Response

from orchestrator.errors import NotFound, PermissionMissing
from orchestrator.models.common.limits import RateClass
from orchestrator.models.events.tenant_events import TenantEvent, TenantFollowed
from orchestrator.routes.http.event_stream import EVENT_STREAM, block, stream_response
from orchestrator.routes.http.open_streams import StreamToken
from orchestrator.routes.http.registry import RouteCall, Routes
from orchestrator.routes.streams.lasting_events import LastEventId, LastingEvents, wanted_place
from orchestrator.store.events.event_hub import Follower
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.feed import FOLLOWED, KEPT_SECONDS, PIECE, PIECES_SECONDS, Entry, entries_of
from orchestrator.store.events.frames import make_body

tenant_stream_routes = Routes()
_EVENT: Final = "tenant.event"


@frozen
class TenantStreamQuery:
    """What `event.stream` takes."""

    last_event_id: LastEventId = None
    pieces: Annotated[bool, Meta(description="With the pieces of answers, as `chat.stream`.")] = False


@tenant_stream_routes.add(
    "GET",
    "event.stream",
    permission="task:read",
    query=TenantStreamQuery,
    answers=_EVENT,
    answer=TenantEvent,
    media_type=EVENT_STREAM,
    rate_class=RateClass.READ,
)
async def stream(call: RouteCall) -> Response:
    """Follow the events of all sessions, tasks and batches of the tenant, its notifications and notices."""
    if not call.ctx.principal.sees_whole_tenant:
        raise PermissionMissing("Only operators of the tenant, and session:admin, may follow all of it.")
    place = wanted_place(call, call.query.last_event_id)
    pieces: bool = call.query.pieces
    await call.services.feed.open(call.ctx.tenant_id, pieces=pieces)
    following = call.services.event_hub.follow(
        call.ctx.tenant_id,
        FOLLOWED,
        after=None if place is None else place.offset,
        epoch=None if place is None else place.epoch,
        log=call.services.feed,
    )
    events = TenantEvents(call, following, pieces=pieces)
    return stream_response(call, events)


class TenantEvents(LastingEvents):
    """A response body that follows the feed of a tenant.

    Args:
        call: the request.
        following: the feed, from where the client wants it.
        pieces: whether pieces of answers are sent too. Where another client wants them, the feed has them anyway.
    """

    def __init__(self, call: RouteCall, following: AbstractAsyncContextManager[Follower], *, pieces: bool) -> None:
        super().__init__(call, following, subject="tenant", subject_id=call.ctx.tenant_id)
        self._pieces = pieces
        self._opened_at = 0.0

    async def greeting(self, follower: Follower) -> bytes:
        """Return whether the stream goes on without a gap from where the client was."""
        self._opened_at = trio.current_time()
        return self._placed(follower, "tenant.followed", TenantFollowed(recovered=follower.recovered))

    async def render(self, events: list[LoggedEvent]) -> bytes:
        """Write the events that entries of the feed stand for, each with what it happened to."""
        wanted = [event for event in events if self._pieces or event.name != PIECE]
        found = entries_of(wanted)
        logged = [one.reference for one in found if one.reference.offset is not None]
        told = iter(await self._call.services.feed.events_of(self._call.ctx.tenant_id, logged))
        blocks = [self._block(one, None if one.reference.offset is None else next(told)) for one in found]
        return b"".join(blocks)

    async def _next(self, follower: Follower, token: StreamToken) -> bytes:
        try:
            chunk = await super()._next(follower, token)
        except NotFound:
            # The feed is gone, as all that Redis had: the client asks again, and is told of the gap.
            self._ended = True
            return self._unfinished
        if trio.current_time() >= self._opened_at + (PIECES_SECONDS if self._pieces else KEPT_SECONDS) / 4:
            self._opened_at = trio.current_time()
            await self._call.services.feed.open(self._call.ctx.tenant_id, pieces=self._pieces)
        return chunk

    def _block(self, found: Entry, told: LoggedEvent | None) -> bytes:
        """Write the block of an entry; `told` is its event, where that is still in its log."""
        event, entry = found.event, found.reference
        body: dict[str, Any] = orjson.loads(told.body) if told is not None else {}
        data = entry.data if entry.offset is None else body.get("data")
        name = "chat.stream" if event.name == PIECE else event.name
        what = TenantEvent(entry.kind, entry.id, name, entry.user_id, data, entry.offset, entry.epoch)
        written: dict[str, Any] = orjson.loads(
            make_body(_EVENT, what, tenant_id=self._call.ctx.tenant_id, correlation_id=body.get("correlation_id", ""))
        )
        kept = {name: body[name] for name in ("message_id", "created_at") if name in body}
        if entry.at is not None:
            kept["created_at"] = entry.at
        return block(LoggedEvent(event.offset, event.epoch, _EVENT, orjson.dumps(written | kept)), self._write)
