"""Routes of chat."""

from typing import Final

from attrs import evolve
from quart import Response

from orchestrator.errors import (
    CallTimeout,
    IdempotencyKeyReused,
    NotFound,
    QueueFull,
    ServiceUnreachable,
    SessionBusy,
    SessionClosed,
    Unprocessable,
)
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.limits import RateClass
from orchestrator.models.sessions.chat import (
    ChatAccepted,
    ChatAnswer,
    ChatCancel,
    ChatCancelled,
    ChatDeleted,
    ChatMessage,
    ChatMode,
    ChatSummary,
    HistoryMessage,
    MessageStatus,
)
from orchestrator.routes.http.event_stream import EVENT_STREAM
from orchestrator.routes.http.paging import HistoryQuery, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes
from orchestrator.routes.http.stream_tickets import StreamQuery
from orchestrator.routes.public.turn_stream import open_stream
from orchestrator.services.shared.paging import Period

chat_routes = Routes()

_COMPLETED: Final = {"domain": "chat", "action": "completed"}


@chat_routes.add(
    "POST",
    "chat.message",
    permission="chat:write",
    body=ChatMessage,
    query=StreamQuery,
    answers="chat.accepted",
    answer=ChatAccepted,
    status=202,
    idempotent=True,
    own_rate=True,
    errors=(NotFound, SessionClosed, SessionBusy, IdempotencyKeyReused, QueueFull),
    also={200: ("The finished answer (`wait`), or the turn's events (`stream`).", ChatAnswer, (EVENT_STREAM,))},
    rate_class=RateClass.WRITE,
)
async def message(call: RouteCall) -> RouteAnswer | Response:
    """Say something to the agent of a session."""
    body: ChatMessage = call.body
    if body.scheduled_for is not None and body.mode is not ChatMode.ASYNC:
        fault = FieldFault("$.data.mode", "must be 'async' where the message is scheduled")
        raise Unprocessable("A request can't wait for a message that is scheduled.", details=[fault])
    if body.mode is ChatMode.STREAM:
        return await open_stream(call, body)
    admitted = await call.services.chat.send(call.ctx, body.session_id, body.turn())
    accepted = admitted.accepted
    outcome = RouteAnswer(accepted, replayed=admitted.replayed, rate=admitted.rate, message_id=accepted.message_id)
    if body.mode is ChatMode.WAIT:
        finished = await call.services.chat.wait(call.ctx, accepted, body.timeout_ms)
        if isinstance(finished, ChatAnswer):
            return evolve(outcome, data=finished, status=200, kind=_COMPLETED)
        if finished.status is not MessageStatus.QUEUED:
            return evolve(outcome, data=finished, status=200)
    return outcome


@chat_routes.add(
    "GET",
    "chat.history",
    permission="chat:read",
    id_name="session_id",
    query=HistoryQuery,
    answers="chat.history",
    answer=HistoryMessage,
    paged=True,
    errors=(NotFound, ServiceUnreachable, CallTimeout),
    rate_class=RateClass.READ,
)
async def history(call: RouteCall) -> RouteAnswer:
    """Read a conversation, the oldest message first."""
    query: HistoryQuery = call.query
    page = await call.services.transcripts.history(
        call.ctx,
        call.id,
        before=query.before,
        after=query.after,
        limit=query.limit,
        period=Period(query.since, query.until),
        offset=query.offset,
    )
    return page_answer(page, query.limit, offset=query.offset)


@chat_routes.add(
    "GET",
    "chat.summary",
    permission="chat:read",
    id_name="session_id",
    answers="chat.summary",
    answer=ChatSummary,
    errors=(NotFound, ServiceUnreachable, CallTimeout),
    rate_class=RateClass.READ,
)
async def summary(call: RouteCall) -> RouteAnswer:
    """Say what a conversation was about."""
    return RouteAnswer(await call.services.transcripts.summary(call.ctx, call.id))


@chat_routes.add(
    "DELETE",
    "chat.delete",
    permission="chat:write",
    id_name="message_id",
    answers="chat.deleted",
    answer=ChatDeleted,
    errors=(NotFound, ServiceUnreachable, CallTimeout),
    rate_class=RateClass.WRITE,
)
async def delete(call: RouteCall) -> RouteAnswer:
    """Take a message out of its conversation."""
    return RouteAnswer(await call.services.transcripts.delete(call.ctx, call.id))


@chat_routes.add(
    "POST",
    "chat.cancel",
    permission="chat:write",
    id_name="message_id",
    body=ChatCancel,
    answers="chat.cancelled",
    answer=ChatCancelled,
    errors=(NotFound, Unprocessable),
    rate_class=RateClass.WRITE,
)
async def cancel(call: RouteCall) -> RouteAnswer:
    """Stop the turn of a message; what was streamed until then stays."""
    return RouteAnswer(await call.services.chat.cancel(call.ctx, call.id, call.body))
