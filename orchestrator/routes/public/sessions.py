"""Routes of sessions."""

from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from attrs import fields

from orchestrator.errors import IdempotencyKeyReused, NotFound, SessionClosed, TransitionRefused
from orchestrator.models.common.limits import RateClass
from orchestrator.models.sessions.session import Session, SessionCreate, SessionCreated, SessionTicket, SessionUpdate
from orchestrator.routes.http.paging import SessionQuery, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes

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
        session, replayed = await call.services.sessions.create(call.ctx, call.body)
    except NotFound:
        # It did not come as far as the script that counts; agents are not to be guessed at any rate.
        call.exchange.rate = await call.services.rate_limiter.check(call.ctx.principal)
        raise
    url = _websocket_url(call, session.session_id)
    created = SessionCreated(**{name: getattr(session, name) for name in _FIELDS}, websocket_url=url)
    return RouteAnswer(created, replayed=replayed)


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
    page = await call.services.sessions.list(
        call.ctx, state=query.state, agent_id=query.agent_id, cursor=query.cursor, limit=query.limit
    )
    return page_answer(page, query.limit)


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
    """Get a one-use ticket for opening the WebSocket of a session, workflow, batch or `notifications` in a browser."""
    services = call.services
    if call.id == NOTIFICATIONS:
        return RouteAnswer(await services.tickets.issue(call.ctx, NOTIFICATIONS))
    try:
        return RouteAnswer(await services.tickets.of_session(call.ctx, call.id))
    except NotFound as error:
        unknown = error
    for exists in (services.workflows.status, services.batches.get):
        with suppress(NotFound):
            await exists(call.ctx, call.id)
            return RouteAnswer(await services.tickets.issue(call.ctx, call.id))
    raise unknown


def _websocket_url(call: RouteCall, session_id: str) -> str:
    """Write the session's WebSocket address, by the public URL or by the one that was asked for, if it is known."""
    path = f"/ws/v1/chat/{session_id}"
    if call.services.settings.public_url:
        parts = urlsplit(call.services.settings.public_url)
        return f"{_SOCKETS[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}{path}"
    host = call.exchange.known_host()
    # Without any host it is relative to the URL that was asked.
    return f"{_SOCKETS[call.exchange.scheme]}://{host}{path}" if host else path
