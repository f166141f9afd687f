"""The events of one chat turn as `text/event-stream` (WHATWG HTML, server-sent events).

They are the very events of the session's log, so `id:` is the offset, and a client that was cut off asks again with the
same idempotency key and `Last-Event-ID`.
"""

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final

import orjson
import trio
from quart import Response
from quart.wrappers.response import ResponseBody

from orchestrator.errors import OrchestratorError, ServiceFault
from orchestrator.middleware.exchange import Exchange, respond
from orchestrator.models.chat import ChatAccepted, ChatAnswer, ChatMessage, MessageStatus
from orchestrator.models.events import ChatStatusUpdate, Trouble
from orchestrator.routes.registry import Call
from orchestrator.store.events import LoggedEvent
from orchestrator.store.frames import make_body
from orchestrator.store.pump import Follower, FollowerTooSlow, LogLost, PumpStopped

EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE_SECONDS: Final = 15.0
"""After so long without an event a comment is sent, so that no proxy takes the stream for dead."""

_ENDED: Final = {MessageStatus.FAILED, MessageStatus.CANCELLED, MessageStatus.INTERRUPTED}
_KEEP_ALIVE: Final = b": keep-alive\n\n"
_UNFINISHED: Final = b": the turn goes on; ask again with Last-Event-ID\n\n"


async def open_stream(call: Call, body: ChatMessage, last_event_id: int | None) -> Response:
    """Take a message, and answer with the events of its turn.

    Args:
        call: the request.
        body: the message.
        last_event_id: the last event that the client has of an earlier stream of the same message.

    Raises:
        OrchestratorError: the message is not taken; see `ChatService.send`.
    """
    services, ctx = call.services, call.ctx
    # The place in the log is noted before the message goes in, so the stream begins with the turn's first event.
    offset, epoch = await services.event_log.head(ctx.tenant_id, body.session_id)
    admitted = await services.chat.send(ctx, body.session_id, body.turn())
    if last_event_id is not None:
        offset = last_event_id
    elif admitted.replayed:
        offset = 0
    call.exchange.rate = admitted.rate
    headers = {"X-Accel-Buffering": "no"}
    if admitted.replayed:
        headers["Idempotent-Replayed"] = "true"
    events = TurnEvents(call, admitted.accepted, after=offset, epoch=epoch, timeout_ms=body.timeout_ms)
    response = respond(call.exchange, events, 200, EVENT_STREAM, headers)
    response.timeout = None
    return response


class TurnEvents(ResponseBody):
    """A response body that follows a turn to its end.

    Args:
        call: the request.
        accepted: the message whose turn it is.
        after: the offset behind which to begin.
        epoch: the epoch of the log that `after` belongs to.
        timeout_ms: how long to wait for the end of the turn.
    """

    def __init__(self, call: Call, accepted: ChatAccepted, *, after: int, epoch: str, timeout_ms: int) -> None:
        self.exchange: Exchange = call.exchange
        self._call = call
        self._accepted = accepted
        self._deadline = trio.current_time() + timeout_ms / 1000
        self._tool_calls: set[str] = set()
        self._ended = False
        self._following: AbstractAsyncContextManager[Follower] = call.services.pump.follow(
            call.ctx.tenant_id, accepted.session_id, after=after, epoch=epoch
        )
        self._follower: Follower | None = None

    async def __aenter__(self) -> "TurnEvents":
        self._follower = await self._following.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._following.__aexit__(kind, error, trace)

    def __aiter__(self) -> "TurnEvents":
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        try:
            return await self._next()
        except (FollowerTooSlow, LogLost, PumpStopped):
            self._ended = True
            return _UNFINISHED
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
                return _UNFINISHED
            events: list[LoggedEvent] = []
            with trio.move_on_after(min(KEEP_ALIVE_SECONDS, left)):
                events = await follower.receive()
            if not events and left > KEEP_ALIVE_SECONDS:
                return _KEEP_ALIVE
            chunk = b"".join(self._render(event) for event in events)
            if chunk:
                return chunk

    async def _outcome(self) -> bytes:
        """Give the end alone, where the log no longer reaches back to the place that was asked for."""
        self._ended = True
        left = max(self._deadline - trio.current_time(), 0)
        outcome = await self._call.services.chat.wait(self._call.ctx, self._accepted, round(left * 1000))
        if isinstance(outcome, ChatAnswer):
            return self._unlogged("chat.completed", outcome)
        if outcome.status not in _ENDED:
            return _UNFINISHED
        update = ChatStatusUpdate(outcome.message_id, outcome.task_id, outcome.status)
        return self._unlogged("chat.status_update", update)

    def _render(self, event: LoggedEvent) -> bytes:
        data: dict[str, Any] = orjson.loads(event.body)["data"]
        if not self._concerns(event.name, data):
            return b""
        if event.name == "chat.completed" or (event.name == "chat.status_update" and data.get("status") in _ENDED):
            self._ended = True
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.offset, event.name.encode(), event.frame)

    def _concerns(self, name: str, data: dict[str, Any]) -> bool:
        message_id, task_id = self._accepted.message_id, self._accepted.task_id
        if name == "session.state_update":
            return data.get("active_task_id") == task_id
        if name == "tool.result" and data.get("tool_call_id") in self._tool_calls:
            return True
        mine = message_id in {data.get("parent_message_id"), data.get("parent_id")} or (
            name == "chat.status_update" and data.get("message_id") == message_id
        )
        if mine and name == "tool.execute":
            self._tool_calls.add(data["tool_call_id"])
        return mine

    def _trouble(self, error: OrchestratorError) -> bytes:
        correlation_id = self._call.ctx.correlation_id
        trouble = Trouble(
            error.body(correlation_id),
            self._accepted.message_id,
            is_recoverable=isinstance(error, ServiceFault),
        )
        return self._unlogged("system.error", trouble)

    def _unlogged(self, name: str, data: object) -> bytes:
        """Write an event that is in no log, and so has no id."""
        body = make_body(name, data, tenant_id=self._call.ctx.tenant_id, correlation_id=self._call.ctx.correlation_id)
        return b"event: %s\ndata: %s\n\n" % (name.encode(), body)
