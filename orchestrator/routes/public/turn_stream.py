"""The events of one chat turn as `text/event-stream`."""

from collections.abc import Mapping
from typing import Final

from quart import Response

from orchestrator.models.events.events import ChatStatusUpdate
from orchestrator.models.sessions.chat import ChatAccepted, ChatAnswer, ChatMessage, MessageStatus
from orchestrator.routes.http.event_stream import (
    FollowedEvents,
    Place,
    last_event_id,
    nothing_follows,
    stream_response,
)
from orchestrator.routes.http.registry import RouteCall
from orchestrator.services.shared.rate_limiter import nearer

KEEP_SECONDS: Final = 30.0
"""So long a session is followed behind the end of a turn: the user's next question finds everything at hand."""
_ENDED: Final = {MessageStatus.FAILED, MessageStatus.CANCELLED, MessageStatus.INTERRUPTED}


async def open_stream(call: RouteCall, body: ChatMessage) -> Response:
    """Take a message, and answer with the events of its turn.

    Raises:
        OrchestratorError: the message is not taken; see `ChatService.send`.
    """
    services, ctx = call.services, call.ctx
    last = last_event_id(call)
    # The place in the log is noted before the message goes in, so the stream begins with the turn's first event.
    known = services.event_hub.place(ctx.tenant_id, body.session_id)
    place = Place(*(known or await services.event_log.head(ctx.tenant_id, body.session_id)))
    admitted = await services.chat.send(ctx, body.session_id, body.turn())
    call.exchange.rate = nearer(admitted.rate, call.exchange.rate)
    if not admitted.replayed:
        return stream_response(call, TurnEvents(call, admitted.accepted, last or place), replayed=False)
    until = None
    if await services.chat.standing(ctx, admitted.accepted) in {MessageStatus.COMPLETED, *_ENDED}:
        until, epoch = await services.event_log.head(ctx.tenant_id, body.session_id)
        if last is not None and last.epoch in {None, epoch} and last.offset <= until:
            past = TurnEvents(call, admitted.accepted, last, until)
            if await past.is_over(services.event_log, body.session_id, last.offset):
                return nothing_follows(call)
    return stream_response(call, TurnEvents(call, admitted.accepted, last or Place(0), until), replayed=True)


class TurnEvents(FollowedEvents):
    """A response body that follows a turn to its end.

    Args:
        call: the request.
        accepted: the message whose turn it is.
        after: the place behind which to begin.
        until: the offset of the log's end, where the turn has ended.
    """

    def __init__(self, call: RouteCall, accepted: ChatAccepted, after: Place, until: int | None = None) -> None:
        session_id = accepted.session_id
        following = call.services.event_hub.follow(
            call.ctx.tenant_id,
            session_id,
            after=after.offset,
            epoch=after.epoch,
            pass_on=self.pass_on,
            keep_seconds=KEEP_SECONDS,
        )
        super().__init__(call, following, subject="turn", subject_id=accepted.message_id, until=until)
        self._accepted = accepted
        self._tool_calls: set[str] = set()

    def concerns(self, name: str, words: Mapping[str, str]) -> bool:
        """Tell whether an event is one of the turn."""
        message_id, task_id = self._accepted.message_id, self._accepted.task_id
        if name == "session.state_update":
            return words.get("active_task_id") == task_id
        if name == "tool.result" and words.get("tool_call_id") in self._tool_calls:
            return True
        mine = message_id in {words.get("parent_message_id"), words.get("parent_id")} or (
            name == "chat.status_update" and words.get("message_id") == message_id
        )
        if mine and name == "tool.execute" and "tool_call_id" in words:
            self._tool_calls.add(words["tool_call_id"])
        return mine

    def ends(self, name: str, words: Mapping[str, str]) -> bool:
        """Tell whether an event is the turn's last one."""
        return name == "chat.completed" or (name == "chat.status_update" and words.get("status") in _ENDED)

    async def outcome(self, timeout_ms: int) -> tuple[str, object] | None:
        """Return the answer, or that there is none."""
        outcome = await self._call.services.chat.wait(self._call.ctx, self._accepted, timeout_ms)
        if isinstance(outcome, ChatAnswer):
            return "chat.completed", outcome
        if outcome.status not in _ENDED:
            return None
        return "chat.status_update", ChatStatusUpdate(outcome.message_id, outcome.task_id, outcome.status)
