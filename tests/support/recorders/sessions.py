"""Sessions and their tickets in memory."""

from collections.abc import Callable
from time import time
from typing import Any

from attrs import define, evolve, field

from orchestrator.domain.session_states import CLOSED
from orchestrator.errors import NotFound, SessionClosed, Unauthorized
from orchestrator.models.agents.agent_views import AgentAssign
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import Principal, RequestContext, Role
from orchestrator.models.sessions.session import Session, SessionCreate, SessionState, SessionTicket, SessionUpdate
from orchestrator.services.sessions.session_lists import SessionFilter
from orchestrator.services.sessions.session_manager import CreatedSession

NOW = "2026-01-01T00:00:00.000Z"


def a_session(session_id: str, state: SessionState = SessionState.CREATED, **fields: Any) -> Session:
    """A session of ann's with the agent echo, unless `fields` say something else."""
    known: dict[str, Any] = {
        "tenant_id": "acme",
        "user_id": "ann",
        "agent_id": "echo",
        "metadata": {},
        "context": {},
        "message_count": 0,
        "created_at": NOW,
        "updated_at": NOW,
        "last_activity_at": NOW,
    }
    return Session(session_id=session_id, state=state, state_code=state.code, **(known | fields))


@define
class SessionRecorder:
    """Keeps the sessions that it is asked for, and what became of them."""

    kept: dict[str, Session] = field(factory=dict)
    replays: dict[str, Session] = field(factory=dict)
    """By idempotency key."""
    on_connected: Callable[[], None] | None = None
    """Called when a socket has been found a session."""

    def keep(self, *sessions: Session) -> None:
        """Have these."""
        self.kept.update({session.session_id: session for session in sessions})

    async def create(self, ctx: RequestContext, request: SessionCreate) -> CreatedSession:
        if ctx.idempotency_key in self.replays:
            return CreatedSession(self.replays[str(ctx.idempotency_key)], replayed=True)
        session = a_session(
            new_id(),
            tenant_id=ctx.tenant_id,
            user_id=ctx.principal.user_id,
            agent_id=request.agent_id,
            metadata=request.metadata,
        )
        self.keep(session)
        if ctx.idempotency_key:
            self.replays[ctx.idempotency_key] = session
        return CreatedSession(session)

    async def get(self, ctx: RequestContext, session_id: str) -> Session:
        session = self.kept.get(session_id)
        if session is None or (session.tenant_id, session.user_id) != (ctx.tenant_id, ctx.principal.user_id):
            raise NotFound(f"There is no session {session_id}.")
        return session

    async def list(
        self,
        ctx: RequestContext,
        wanted: SessionFilter | None = None,
        *,
        cursor: str | None = None,
        limit: int = 20,
        offset: int | None = None,
    ) -> Page[Session]:
        found = [one for one in self.kept.values() if wanted is None or wanted.takes(one)]
        total = None if offset is None else len(found)
        found = found[offset or 0 :]
        return Page(found[:limit], "more" if len(found) > limit else None, total)

    async def update(self, ctx: RequestContext, session_id: str, request: SessionUpdate) -> Session:
        self.keep(evolve(await self.get(ctx, session_id), metadata=request.metadata or {}))
        return self.kept[session_id]

    async def assign(self, ctx: RequestContext, session_id: str, request: AgentAssign) -> Session:
        return evolve(await self.get(ctx, session_id), agent_id=request.agent_id, pinned_version=request.version)

    async def pause(self, ctx: RequestContext, session_id: str) -> Session:
        return await self._move(ctx, session_id, SessionState.PAUSED)

    async def resume(self, ctx: RequestContext, session_id: str) -> Session:
        return await self._move(ctx, session_id, SessionState.ACTIVE)

    async def close(self, ctx: RequestContext, session_id: str) -> Session:
        return await self._move(ctx, session_id, SessionState.TERMINATED)

    async def connected(self, ctx: RequestContext, session_id: str) -> Session:
        session = await self.open(ctx, session_id)
        if self.on_connected is not None:
            self.on_connected()
        return session

    async def open(self, ctx: RequestContext, session_id: str) -> Session:
        """Return a session that is not closed."""
        session = await self.get(ctx, session_id)
        if session.state in CLOSED:
            raise SessionClosed(f"Session {session_id} is closed.")
        return session

    async def _move(self, ctx: RequestContext, session_id: str, state: SessionState) -> Session:
        self.keep(evolve(await self.open(ctx, session_id), state=state, state_code=state.code))
        return self.kept[session_id]


@define
class TicketRecorder:
    """Gives out tickets, and takes each once."""

    sessions: SessionRecorder
    given: dict[str, tuple[str, Principal]] = field(factory=dict)
    """What each ticket opens, and for whom."""

    def give(self, ticket: str, subject_id: str, user: str = "ada") -> None:
        """Have this ticket, of a user of acme."""
        self.given[ticket] = subject_id, Principal("acme", user, Role.USER, frozenset({"session:read"}), time() + 60)

    async def of_session(self, ctx: RequestContext, session_id: str) -> SessionTicket:
        await self.sessions.get(ctx, session_id)
        return await self.issue(ctx, session_id)

    async def issue(self, ctx: RequestContext, subject_id: str) -> SessionTicket:
        ticket = SessionTicket(new_id(), 30)
        self.given[ticket.ticket] = subject_id, ctx.principal
        return ticket

    async def redeem(self, ticket: str, session_id: str | None) -> Principal:
        opens, principal = self.given.pop(ticket, (None, None))
        if principal is None or session_id not in {None, opens}:
            raise Unauthorized("The ticket is unknown.")
        return principal

    async def take(self, ticket: str) -> tuple[Principal, str]:
        opens, principal = self.given.pop(ticket, (None, None))
        if principal is None or opens is None:
            raise Unauthorized("The ticket is unknown.")
        return principal, opens
