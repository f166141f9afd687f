"""Events of one log as `text/event-stream` (WHATWG HTML, server-sent events).

They are the very events of the log, so `id:` is its epoch and the offset, and a client that was cut off asks again with
the same idempotency key and `Last-Event-ID`. What has ended and has nothing behind that id is answered by 204, which
tells an `EventSource` to stop asking.

A stream ends by `system.error` (`ORCH_AUTH_001`) when the token that it was asked for with expires or is revoked.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from math import inf
from types import TracebackType
from typing import Final, Self

import trio
from attrs import frozen
from quart import Response

from orchestrator.errors import InvalidParameter, OrchestratorError, ServiceFault
from orchestrator.middleware.exchange import Exchange, respond
from orchestrator.middleware.streamed_body import StreamedBody
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.limits import RateClass
from orchestrator.models.events.events import Trouble
from orchestrator.routes.http.open_streams import StreamToken
from orchestrator.routes.http.registry import RouteCall
from orchestrator.store.events.event_hub import Follower, FollowerTooSlow, HubStopped, LogLost
from orchestrator.store.events.events import EventLog, FrameWriter, LoggedEvent, words_of
from orchestrator.store.events.frames import make_body

EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE_SECONDS: Final = 15.0
"""After so long without an event a comment is sent, so that no proxy takes the stream for dead."""

STREAM_SECONDS: Final = 3600.0
"""After so long a stream ends, and the client asks again: no connection stays with one process for ever."""

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
    return read_place(value, "$.headers.Last-Event-ID")


def read_place(event_id: str, path: str) -> Place:
    """Read the id of an event.

    Args:
        event_id: the id.
        path: where the client has it, for the fault.

    Raises:
        InvalidParameter: it is none.
    """
    named = _ID.fullmatch(event_id)
    if named is not None:
        return Place(int(named[2]), named[1])
    fault = FieldFault(path, "must be the id of an event")
    raise InvalidParameter(f"{path.rpartition('.')[2]} {fault.message}.", details=[fault])


class EventStream(StreamedBody, ABC):
    """A response body that follows a log.

    Args:
        call: the request.
        following: the log, from where the client wants it.
        subject: what is followed, for the parting words: `turn`.
        subject_id: its id, to which troubles belong.
    """

    def __init__(
        self, call: RouteCall, following: AbstractAsyncContextManager[Follower], *, subject: str, subject_id: str
    ) -> None:
        self.exchange: Exchange = call.exchange
        self._call = call
        self._ended = False
        self._unfinished = b": the %s goes on; ask again with Last-Event-ID\n" % subject.encode()
        self._subject_id = subject_id
        self._following = following
        self._follower: Follower | None = None
        self._token: StreamToken | None = None
        self._opened = AsyncExitStack()
        self._ends_at = trio.current_time() + STREAM_SECONDS
        self._write = call.streams.write
        self._offset, self._epoch = 0, ""
        """Of the event that was sent last."""

    @abstractmethod
    async def _next(self, follower: Follower, token: StreamToken) -> bytes:
        """Wait for what is sent next, at most for `KEEP_ALIVE_SECONDS`, and as long as the token is good."""

    async def __aenter__(self) -> Self:
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

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self._ended

    def __aiter__(self) -> Self:
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
        token.check()
        if trio.current_time() >= self._ends_at:
            self._ended = True
            return self._unfinished
        return await self._next(follower, token)

    async def _receive(self, follower: Follower, token: StreamToken) -> list[LoggedEvent]:
        """Wait for events; return none where it is time for a comment, and raise where the token is good no more."""
        with token.waiting(KEEP_ALIVE_SECONDS):
            return await follower.receive()
        token.check()
        return []

    def _trouble(self, error: OrchestratorError) -> bytes:
        body = error.body(self._call.ctx.correlation_id)
        return self._unlogged(
            "system.error", Trouble(body, self._subject_id, is_recoverable=isinstance(error, ServiceFault))
        )

    def _unlogged(self, name: str, data: object) -> bytes:
        """Write an event that is in no log, and so has no id."""
        body = make_body(name, data, tenant_id=self._call.ctx.tenant_id, correlation_id=self._call.ctx.correlation_id)
        frame = self._write(LoggedEvent(self._offset, self._epoch, name, body))
        return b"event: %s\ndata: %s\n\n" % (name.encode(), frame)


class FollowedEvents(EventStream):
    """A stream that follows a log until what it tells of has ended.

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
        super().__init__(call, following, subject=subject, subject_id=subject_id)
        self._until = until

    @abstractmethod
    def concerns(self, name: str, words: Mapping[str, str]) -> bool:
        """Tell whether an event of this name and with these words is one of what is followed."""

    @abstractmethod
    def ends(self, name: str, words: Mapping[str, str]) -> bool:
        """Tell whether nothing follows an event."""

    @abstractmethod
    async def outcome(self, timeout_ms: int) -> tuple[str, object] | None:
        """Wait for the end alone, where the log no longer reaches back; returns the event, or None if it goes on."""

    def pass_on(self, events: Sequence[LoggedEvent]) -> bool:
        """Send events at once, in the stead of the task that waits for them; returns whether that was done.

        For `EventHub.follow`. To wake a task for each event costs several times what the event itself does. The last
        one, and what the client does not take at once, are left to the task.
        """
        token = self._token
        if token is None or not token.waits or self._ended or self._until is not None:
            return False
        ours = []
        for event in events:
            words = words_of(event)
            if self.concerns(event.name, words):
                if self.ends(event.name, words):
                    return False
                ours.append(event)
        if not ours:
            return True
        if not self.exchange.send_body_now(b"".join(block(event, self._write) for event in ours)):
            return False
        self._offset, self._epoch = ours[-1].offset, ours[-1].epoch
        return True

    def at_hand(self) -> bytes:
        """Return the events that are there already: as a rule those with which a message was taken."""
        follower = self._follower
        if follower is None or not follower.recovered or self._until is not None:
            return b""
        return b"".join(self._render(event) for event in follower.at_hand())

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
        return not any(self.concerns(event.name, words_of(event)) for event in events)

    async def _next(self, follower: Follower, token: StreamToken) -> bytes:
        if not follower.recovered:
            return await self._outcome(token)
        while True:
            events = await self._receive(follower, token)
            if not events:
                return KEEP_ALIVE
            chunk = b"".join(self._render(event) for event in events)
            if self._until is not None and events[-1].offset >= self._until:
                self._ended = True
            if chunk:
                return chunk
            if self._ended:
                raise StopAsyncIteration

    async def _outcome(self, token: StreamToken) -> bytes:
        told = None
        with token.waiting(inf):
            told = await self.outcome(round(KEEP_ALIVE_SECONDS * 1000))
        if told is None:
            token.check()
            return KEEP_ALIVE
        self._ended = True
        return self._unlogged(*told)

    def _render(self, event: LoggedEvent) -> bytes:
        words = words_of(event)
        if not self.concerns(event.name, words):
            return b""
        self._ended = self._ended or self.ends(event.name, words)
        self._offset, self._epoch = event.offset, event.epoch
        return block(event, self._write)


def block(event: LoggedEvent, write: FrameWriter) -> bytes:
    """Write an event as it stands in a stream."""
    epoch, name, frame = event.epoch.encode(), event.name.encode(), event.written_by(write)
    return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (epoch, event.offset, name, frame)


def nothing_follows(call: RouteCall) -> Response:
    """Answer that nothing follows the last event of the client (204)."""
    return respond(call.exchange, b"", 204, EVENT_STREAM)


def stream_response(call: RouteCall, events: EventStream, *, replayed: bool = False) -> Response:
    """Answer with a stream of events."""
    headers = {"X-Accel-Buffering": "no"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    response = respond(call.exchange, events, 200, EVENT_STREAM, headers)
    response.timeout = None
    return response
