"""Routes of sessions."""

from typing import Final
from urllib.parse import urlsplit

from attrs import fields

from orchestrator.errors import IdempotencyKeyReused, NotFound, SessionClosed, TransitionRefused
from orchestrator.models.common.limits import RateClass
from orchestrator.models.sessions.session import Session, SessionCreate, SessionCreated, SessionTicket, SessionUpdate
from orchestrator.routes.http.paging import SessionQuery, checked_offset, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes
from orchestrator.services.sessions.session_lists import SessionFilter
from orchestrator.services.shared.paging import Period
from orchestrator.services.shared.rate_limiter import nearer

session_routes = Routes()

_FIELDS: Final = [attribute.name for attribute in fields(Session)]
NOTIFICATIONS: Final = "notifications"
"""Stands where a session, workflow or batch is named; no id that is made here looks like it."""
_SOCKETS: Final = {"http": "ws", "https": "wss"}


@session_routes.add(
    "POST",
    "session.create",
    permission="session:write",
    body=SessionCreate,
    answers="session.created",
    answer=SessionCreated,
    status=201,
    idempotent=True,
    own_rate=True,
    errors=(NotFound, IdempotencyKeyReused),
    rate_class=RateClass.WRITE,
)
async def create(call: RouteCall) -> RouteAnswer:
    """Begin a conversation with an agent."""
    try:
        made = await call.services.sessions.create(call.ctx, call.body)
    except NotFound:
        # It did not come as far as the script that counts; agents are not to be guessed at any rate.
        counted = await call.services.rate_limiter.check(call.ctx.principal)
        call.exchange.rate = nearer(counted, call.exchange.rate)
        raise
    url = _websocket_url(call, made.session.session_id)
    created = SessionCreated(**{name: getattr(made.session, name) for name in _FIELDS}, websocket_url=url)
    return RouteAnswer(created, replayed=made.replayed, rate=made.rate)


@session_routes.add(
    "GET",
    "session.get",
    permission="session:read",
    id_name="session_id",
    answers="session.details",
    answer=Session,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def get(call: RouteCall) -> RouteAnswer:
    """Show a session."""
    return RouteAnswer(await call.services.sessions.get(call.ctx, call.id))


@session_routes.add(
    "GET",
    "session.list",
    permission="session:read",
    query=SessionQuery,
    answers="session.list",
    answer=Session,
    paged=True,
    rate_class=RateClass.READ,
)
async def list_sessions(call: RouteCall) -> RouteAnswer:
    """List sessions, the last active first."""
    query: SessionQuery = call.query
    wanted = SessionFilter(query.wanted_states(), query.agent_id, query.user_id, Period(query.since, query.until))
    offset = checked_offset(query.offset, query.cursor)
    if offset is None and query.cursor is None and (query.states is not None or not wanted.narrows):
        offset = 0
    page = await call.services.sessions.list(call.ctx, wanted, cursor=query.cursor, limit=query.limit, offset=offset)
    return page_answer(page, query.limit, offset=offset)


@session_routes.add(
    "PUT",
    "session.update",
    permission="session:write",
    id_name="session_id",
    body=SessionUpdate,
    answers="session.updated",
    answer=Session,
    errors=(NotFound, SessionClosed),
    rate_class=RateClass.WRITE,
)
async def update(call: RouteCall) -> RouteAnswer:
    """Change a session's metadata or context."""
    return RouteAnswer(await call.services.sessions.update(call.ctx, call.id, call.body))


@session_routes.add(
    "PUT",
    "session.pause",
    permission="session:write",
    id_name="session_id",
    answers="session.paused",
    answer=Session,
    errors=(NotFound, SessionClosed, TransitionRefused),
    rate_class=RateClass.WRITE,
)
async def pause(call: RouteCall) -> RouteAnswer:
    """Let a session rest."""
    return RouteAnswer(await call.services.sessions.pause(call.ctx, call.id))


@session_routes.add(
    "PUT",
    "session.resume",
    permission="session:write",
    id_name="session_id",
    answers="session.resumed",
    answer=Session,
    errors=(NotFound, SessionClosed, TransitionRefused),
    rate_class=RateClass.WRITE,
)
async def resume(call: RouteCall) -> RouteAnswer:
    """Take a resting session up again."""
    return RouteAnswer(await call.services.sessions.resume(call.ctx, call.id))


@session_routes.add(
    "DELETE",
    "session.close",
    permission="session:write",
    id_name="session_id",
    answers="session.closed",
    answer=Session,
    errors=(NotFound, SessionClosed),
    rate_class=RateClass.WRITE,
)
async def close(call: RouteCall) -> RouteAnswer:
    """End a session for good: its running turn is cancelled, its sockets are closed."""
    return RouteAnswer(await call.services.sessions.close(call.ctx, call.id))


@session_routes.add(
    "POST",
    "session.ticket",
    permission="session:read",
    id_name="session_id",
    answers="session.ticket",
    answer=SessionTicket,
    status=201,
    errors=(NotFound, SessionClosed),
    rate_class=RateClass.WRITE,
)
async def ticket(call: RouteCall) -> RouteAnswer:
    """Get a one-use ticket for opening the WebSocket of a session, run or `notifications` in a browser."""
    made = await _ticket(call)
    if call.ctx.principal.key_name is not None:
        await call.services.audit.done(call.ctx, "session.ticket", call.id)
    return RouteAnswer(made)


async def _ticket(call: RouteCall) -> SessionTicket:
    services = call.services
    if call.id == NOTIFICATIONS:
        return await services.tickets.issue(call.ctx, NOTIFICATIONS)
    try:
        return await services.tickets.of_session(call.ctx, call.id)
    except NotFound as error:
        unknown = error
    try:
        await services.runs.find(call.ctx, call.id)
    except NotFound:
        raise unknown from None
    return await services.tickets.issue(call.ctx, call.id)


def _websocket_url(call: RouteCall, session_id: str) -> str:
    """Write the session's WebSocket address, by the public URL or by the one that was asked for, if it is known."""
    path = f"/ws/v1/chat/{session_id}"
    if call.services.settings.public_url:
        parts = urlsplit(call.services.settings.public_url)
        return f"{_SOCKETS[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}{path}"
    host = call.exchange.known_host()
    # Without any host it is relative to the URL that was asked.
    return f"{_SOCKETS[call.exchange.scheme]}://{host}{path}" if host else path
