"""Events of one log as `text/event-stream` (WHATWG HTML, server-sent events), up to the end of what they tell of.

They are the very events of the log, so `id:` is its epoch and the offset, and a client that was cut off asks again with
the same idempotency key and `Last-Event-ID`. What has ended and has nothing behind that id is answered by 204, which
tells an `EventSource` to stop asking.

A stream ends by `system.error` (`ORCH_AUTH_001`) when the token that it was asked for with expires or is revoked.
"""

import re
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Final

import orjson
import trio
from attrs import frozen
from quart import Response
from quart.wrappers.response import ResponseBody

from orchestrator.errors import InvalidParameter, OrchestratorError, ServiceFault
from orchestrator.middleware.exchange import Exchange, respond
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.limits import RateClass
from orchestrator.models.events.events import Trouble
from orchestrator.routes.http.open_streams import StreamToken
from orchestrator.routes.http.registry import RouteCall
from orchestrator.store.events.event_hub import Follower, FollowerTooSlow, HubStopped, LogLost
from orchestrator.store.events.events import EventLog, LoggedEvent
from orchestrator.store.events.frames import make_body

EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE_SECONDS: Final = 15.0
"""After so long without an event a comment is sent, so that no proxy takes the stream for dead."""

KEEP_ALIVE: Final = b": keep-alive\n"
"""A comment alone, without the blank line that ends an event: some clients take what stands before one for an event."""
LAST_EVENT_ID_PATTERN: Final = r"^(?:([A-Za-z0-9_.-]{1,64})-)?(\d{1,15})$"
_ID: Final = re.compile(LAST_EVENT_ID_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)


@frozen
class Place:
    """A place in a log, as a client names it."""

    offset: int
    epoch: str | None = None
    """None: of whichever epoch there is."""


def last_event_id(call: RouteCall) -> Place | None:
    """Return the last event that the client has of an earlier stream.

    Raises:
        InvalidParameter: it is none.
    """
    value = call.exchange.headers.get("last-event-id")
    if value is None or value == "":
        return None
    named = _ID.fullmatch(value)
    if named is not None:
        return Place(int(named[2]), named[1])
    fault = FieldFault("$.headers.Last-Event-ID", "must be the id of an event")
    raise InvalidParameter(f"The header Last-Event-ID {fault.message}.", details=[fault])


class FollowedEvents(ResponseBody, ABC):
    """A response body that follows a log until what it tells of has ended.

    Args:
        call: the request.
        following: the log, from where the client wants it.
        subject: what is followed, for the parting words: `turn`.
        subject_id: its id, to which troubles belong.
        until: the offset behind which nothing of it follows, where it has ended; else None.
    """

    def __init__(
        self,
        call: RouteCall,
        following: AbstractAsyncContextManager[Follower],
        *,
        subject: str,
        subject_id: str,
        until: int | None = None,
    ) -> None:
        self.exchange: Exchange = call.exchange
        self._call = call
        self._ended = False
        self._until = until
        self._unfinished = b": the %s goes on; ask again with Last-Event-ID\n" % subject.encode()
        self._subject_id = subject_id
        self._following = following
        self._follower: Follower | None = None
        self._token: StreamToken | None = None
        self._opened = AsyncExitStack()

    @abstractmethod
    def concerns(self, name: str, data: dict[str, Any]) -> bool:
        """Tell whether an event is one of what is followed."""

    @abstractmethod
    def ends(self, name: str, data: dict[str, Any]) -> bool:
        """Tell whether nothing follows an event."""

    @abstractmethod
    async def outcome(self, timeout_ms: int) -> tuple[str, object] | None:
        """Wait for the end alone, where the log no longer reaches back; returns the event, or None if it goes on."""

    async def __aenter__(self) -> "FollowedEvents":
        services, ctx = self._call.services, self._call.ctx
        await services.class_limiter.check(ctx.principal, RateClass.STREAM)
        async with AsyncExitStack() as opening:
            if services.open_streams is not None:
                opening.enter_context(services.open_streams.held(ctx.tenant_id, ctx.remote_address))
            self._token = opening.enter_context(self._call.streams.keep(ctx.principal))
            self._follower = await opening.enter_async_context(self._following)
            self._opened = opening.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.__aexit__(kind, error, trace)

    async def is_over(self, log: EventLog, owner_id: str, after: int) -> bool:
        """Tell whether what has ended has no event behind an offset that is still in its log.

        Args:
            log: where its events are.
            owner_id: whose log it is.
            after: the offset.
        """
        if self._until is None:
            return False
        events = await log.read(self._call.ctx.tenant_id, owner_id, after=after, limit=self._until)
        return not any(self.concerns(event.name, orjson.loads(event.body)["data"]) for event in events)

    def __aiter__(self) -> "FollowedEvents":
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        try:
            return await self._next_in_time()
        except (FollowerTooSlow, LogLost, HubStopped):
            self._ended = True
            return self._unfinished
        except OrchestratorError as error:
            self._ended = True
            return self._trouble(error)

    async def _next_in_time(self) -> bytes:
        follower, token = self._follower, self._token
        if follower is None or token is None:
            raise RuntimeError("the body is iterated before it is entered")
        while True:
            token.check()
            with token.waiting():
                return await self._next(follower)

    async def _next(self, follower: Follower) -> bytes:
        if not follower.recovered:
            return await self._outcome()
        while True:
            events: list[LoggedEvent] = []
            with trio.move_on_after(KEEP_ALIVE_SECONDS):
                events = await follower.receive()
            if not events:
                return KEEP_ALIVE
            chunk = b"".join(self._render(event) for event in events)
            if self._until is not None and events[-1].offset >= self._until:
                self._ended = True
            if chunk:
                return chunk
            if self._ended:
                raise StopAsyncIteration

    async def _outcome(self) -> bytes:
        told = await self.outcome(round(KEEP_ALIVE_SECONDS * 1000))
        if told is None:
            return KEEP_ALIVE
        self._ended = True
        return self._unlogged(*told)

    def _render(self, event: LoggedEvent) -> bytes:
        data: dict[str, Any] = orjson.loads(event.body)["data"]
        if not self.concerns(event.name, data):
            return b""
        self._ended = self._ended or self.ends(event.name, data)
        epoch, name = event.epoch.encode(), event.name.encode()
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (epoch, event.offset, name, event.frame)

    def _trouble(self, error: OrchestratorError) -> bytes:
        body = error.body(self._call.ctx.correlation_id)
        return self._unlogged(
            "system.error", Trouble(body, self._subject_id, is_recoverable=isinstance(error, ServiceFault))
        )

    def _unlogged(self, name: str, data: object) -> bytes:
        """Write an event that is in no log, and so has no id."""
        body = make_body(name, data, tenant_id=self._call.ctx.tenant_id, correlation_id=self._call.ctx.correlation_id)
        return b"event: %s\ndata: %s\n\n" % (name.encode(), body)


def nothing_follows(call: RouteCall) -> Response:
    """Answer that nothing follows the last event of the client (204)."""
    return respond(call.exchange, b"", 204, EVENT_STREAM)


def stream_response(call: RouteCall, events: FollowedEvents, *, replayed: bool) -> Response:
    """Answer with a stream of events."""
    headers = {"X-Accel-Buffering": "no"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    response = respond(call.exchange, events, 200, EVENT_STREAM, headers)
    response.timeout = None
    return response
