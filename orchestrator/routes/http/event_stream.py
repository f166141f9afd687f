"""Events of one log as `text/event-stream` (WHATWG HTML, server-sent events), up to the end of what they tell of.

They are the very events of the log, so `id:` is the offset, and a client that was cut off asks again with the same
idempotency key and `Last-Event-ID`.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final

import orjson
import trio
from quart import Response
from quart.wrappers.response import ResponseBody

from orchestrator.errors import InvalidParameter, OrchestratorError, ServiceFault
from orchestrator.middleware.exchange import Exchange, respond
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.events.events import Trouble
from orchestrator.routes.http.registry import RouteCall
from orchestrator.store.events.event_hub import Follower, FollowerTooSlow, HubStopped, LogLost
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.frames import make_body

EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE_SECONDS: Final = 15.0
"""After so long without an event a comment is sent, so that no proxy takes the stream for dead."""

KEEP_ALIVE: Final = b": keep-alive\n\n"


def last_event_id(call: RouteCall) -> int | None:
    """Return the last event that the client has of an earlier stream.

    Raises:
        InvalidParameter: it is none.
    """
    value = call.exchange.headers.get("last-event-id")
    if value is None or value == "":
        return None
    if value.isascii() and value.isdecimal() and len(value) < 16:
        return int(value)
    fault = FieldFault("$.headers.Last-Event-ID", "must be the id of an event, a whole number")
    raise InvalidParameter(f"The header Last-Event-ID {fault.message}.", details=[fault])


class FollowedEvents(ResponseBody, ABC):
    """A response body that follows a log until what it tells of has ended.

    Args:
        call: the request.
        following: the log, from where the client wants it.
        timeout_ms: how long to wait for the end.
        subject: what is followed, for the parting words: `turn`.
        subject_id: its id, to which troubles belong.
    """

    def __init__(
        self,
        call: RouteCall,
        following: AbstractAsyncContextManager[Follower],
        *,
        timeout_ms: int,
        subject: str,
        subject_id: str,
    ) -> None:
        self.exchange: Exchange = call.exchange
        self._call = call
        self._deadline = trio.current_time() + timeout_ms / 1000
        self._ended = False
        self._unfinished = b": the %s goes on; ask again with Last-Event-ID\n\n" % subject.encode()
        self._subject_id = subject_id
        self._following = following
        self._follower: Follower | None = None

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
        self._follower = await self._following.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._following.__aexit__(kind, error, trace)

    def __aiter__(self) -> "FollowedEvents":
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        try:
            return await self._next()
        except (FollowerTooSlow, LogLost, HubStopped):
            self._ended = True
            return self._unfinished
        except OrchestratorError as error:
            self._ended = True
            return self._trouble(error)

    async def _next(self) -> bytes:
        follower = self._follower
        if follower is None:
            raise RuntimeError("the body is iterated before it is entered")
        if not follower.recovered:
            return await self._outcome()
        while True:
            left = self._deadline - trio.current_time()
            if left <= 0:
                self._ended = True
                return self._unfinished
            events: list[LoggedEvent] = []
            with trio.move_on_after(min(KEEP_ALIVE_SECONDS, left)):
                events = await follower.receive()
            if not events and left > KEEP_ALIVE_SECONDS:
                return KEEP_ALIVE
            chunk = b"".join(self._render(event) for event in events)
            if chunk:
                return chunk

    async def _outcome(self) -> bytes:
        self._ended = True
        left = max(self._deadline - trio.current_time(), 0)
        told = await self.outcome(round(left * 1000))
        return self._unfinished if told is None else self._unlogged(*told)

    def _render(self, event: LoggedEvent) -> bytes:
        data: dict[str, Any] = orjson.loads(event.body)["data"]
        if not self.concerns(event.name, data):
            return b""
        self._ended = self._ended or self.ends(event.name, data)
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.offset, event.name.encode(), event.frame)

    def _trouble(self, error: OrchestratorError) -> bytes:
        body = error.body(self._call.ctx.correlation_id)
        return self._unlogged(
            "system.error", Trouble(body, self._subject_id, is_recoverable=isinstance(error, ServiceFault))
        )

    def _unlogged(self, name: str, data: object) -> bytes:
        """Write an event that is in no log, and so has no id."""
        body = make_body(name, data, tenant_id=self._call.ctx.tenant_id, correlation_id=self._call.ctx.correlation_id)
        return b"event: %s\ndata: %s\n\n" % (name.encode(), body)


def stream_response(call: RouteCall, events: FollowedEvents, *, replayed: bool) -> Response:
    """Answer with a stream of events."""
    headers = {"X-Accel-Buffering": "no"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    response = respond(call.exchange, events, 200, EVENT_STREAM, headers)
    response.timeout = None
    return response
