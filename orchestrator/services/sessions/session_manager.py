"""Sessions, from creation to archive."""

import hashlib

import orjson
import structlog
from attrs import field, frozen

from orchestrator.codec import encode
from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.session_states import CLOSED, MOVED_FROM, MOVED_TO, refusal
from orchestrator.errors import NotFound, PermissionMissing, SessionBusy, TransitionRefused
from orchestrator.models.agents.agent_views import AgentAssign
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.sessions.session import Session, SessionCreate, SessionMove, SessionState, SessionUpdate
from orchestrator.services.sessions.session_lists import SessionFilter, page_of_sessions
from orchestrator.services.sessions.session_moves import SessionMoves
from orchestrator.services.shared.agent_lookup import Agents, must_exist
from orchestrator.services.shared.views import (
    agent_body,
    key_reused,
    quota_reached,
    rate_limited,
    rate_state,
    session_closed,
    session_not_found,
    tenant_refuses,
    viewer_of,
)
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.sessions.sessions import Rates, SessionStore, Viewer
from orchestrator.store.sessions.verdicts import (
    AgentAssignVerdict,
    SessionCloseVerdict,
    SessionCreateVerdict,
    SessionMoveVerdict,
    SessionUpdateVerdict,
    read_state,
)
from orchestrator.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


@frozen
class CreatedSession:
    """A session that was asked for."""

    session: Session
    replayed: bool = False
    """Whether an earlier request with the same idempotency key had created it."""
    rate: RateState | None = None
    """Where the client stands in the nearer limit of tenant and user; None: nothing was counted."""


@frozen
class SessionManager:
    """Creates, shows, moves and closes sessions."""

    store: SessionStore
    audit: AuditTrail
    settings: AgentOrchestratorSettings
    rates: Rates
    metrics: Metrics = field(factory=Metrics)
    agents: Agents | None = None
    """Where agents are looked up; None: a session may name any."""

    @property
    def _moves(self) -> SessionMoves:
        return SessionMoves(self.store, self.settings, self.metrics)

    async def idle_moves(self, tenant_id: str, limit: int = 100) -> int:
        """Make the moves that idleness leads to, and close sessions whose time is over; returns how many were due."""
        return await self._moves.idle_moves(tenant_id, limit)

    async def create(self, ctx: RequestContext, request: SessionCreate) -> CreatedSession:
        """Create a session.

        Raises:
            PermissionMissing: it is for another user, and the token does not see the whole tenant.
            NotFound: there is no such agent.
            IdempotencyKeyReused, TenantDraining, RateLimited, QueueFull
        """
        owner = request.user_id or ctx.principal.user_id
        if owner != ctx.principal.user_id and not ctx.principal.sees_whole_tenant:
            raise PermissionMissing("Only session:admin may create sessions for other users.")
        fields: dict[str, str | bytes] = {
            "metadata": orjson.dumps(request.metadata),
            "context": orjson.dumps(request.context),
        }
        if request.ttl_seconds is not None:
            fields["ttl_ms"] = str(request.ttl_seconds * 1000)
        viewer = viewer_of(ctx)
        await self._check_agent(ctx, viewer, request.agent_id)
        creation = await self.store.create(
            viewer,
            owner=owner,
            agent_id=request.agent_id,
            fields=fields,
            rates=self.rates,
            correlation_id=ctx.correlation_id,
            idempotency_key=ctx.idempotency_key or ctx.message_id,
            digest=hashlib.sha256(b"session.create" + encode(request)).hexdigest(),
            unused_ms=round(self.settings.archive_after * 1000),
        )
        verdict = creation.verdict
        if verdict is SessionCreateVerdict.REUSED:
            raise key_reused()
        if verdict is SessionCreateVerdict.TENANT:
            raise tenant_refuses(creation.detail)
        if verdict is SessionCreateVerdict.RATE:
            raise rate_limited(creation.wait_ms, creation.detail)
        if verdict is SessionCreateVerdict.FULL:
            raise quota_reached(creation.detail)
        if verdict is SessionCreateVerdict.OK:
            self.metrics.session_created(ctx.tenant_id, request.agent_id)
            await self.audit.done(ctx, "session.create", creation.detail)
        session = await self.get(ctx, creation.detail)
        if verdict is SessionCreateVerdict.REPLAYED:
            return CreatedSession(session, replayed=True)
        return CreatedSession(session, rate=rate_state(self.rates, creation))

    async def get(self, ctx: RequestContext, session_id: str) -> Session:
        """Return a session.

        Raises:
            NotFound: there is none that the caller may see.
        """
        session = await self.store.get(viewer_of(ctx), session_id)
        if session is None:
            raise session_not_found(session_id)
        return session

    async def list(
        self,
        ctx: RequestContext,
        wanted: SessionFilter | None = None,
        *,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
        offset: int | None = None,
    ) -> Page[Session]:
        """List the caller's sessions that `wanted` takes, or all, the last active first; see `page_of_sessions`."""
        wanted = wanted or SessionFilter()
        return await page_of_sessions(self.store, ctx, wanted, cursor=cursor, limit=limit, offset=offset)

    async def update(self, ctx: RequestContext, session_id: str, request: SessionUpdate) -> Session:
        """Change a session's metadata, context or end, and move it; a move that is not allowed changes nothing.

        Raises:
            NotFound, SessionClosed, QueueFull, TransitionRefused
        """
        move = request.move
        fields: dict[str, str | bytes] = {
            name: orjson.dumps(value)
            for name, value in (("metadata", request.metadata), ("context", request.context))
            if value is not None
        }
        verdict, state = await self.store.update(
            viewer_of(ctx),
            session_id,
            fields,
            states=frozenset() if move is None else MOVED_FROM[move],
            life_ms=None if request.ttl_seconds is None else request.ttl_seconds * 1000,
        )
        if verdict is SessionUpdateVerdict.UNKNOWN:
            raise session_not_found(session_id)
        if verdict is SessionUpdateVerdict.REFUSED and move is not None:
            raise TransitionRefused(refusal(read_state(session_id, state), MOVED_TO[move]))
        if verdict is SessionUpdateVerdict.CLOSED:
            raise session_closed(session_id, state)
        if verdict is SessionUpdateVerdict.FULL:
            raise quota_reached(state)
        if move is SessionMove.PAUSE:
            return await self.pause(ctx, session_id)
        if move is SessionMove.RESUME:
            return await self.resume(ctx, session_id)
        return await (self.close if move is SessionMove.CLOSE else self.get)(ctx, session_id)

    async def assign(self, ctx: RequestContext, session_id: str, request: AgentAssign) -> Session:
        """Give a session another agent, or another version of it; its next turn is the first that it answers.

        Raises:
            NotFound: there is no such session that the caller may see, or no such agent, or not in this version.
            SessionClosed
            SessionBusy: a turn is queued or running.
        """
        session = await self.get(ctx, session_id)
        if session.state in CLOSED or await self._expired(session):
            raise session_closed(session_id, session.state)
        if self.agents is not None:
            await must_exist(self.agents, ctx, request.agent_id, request.version)
        body = agent_body(ctx.tenant_id, session_id, request.agent_id, request.version, ctx.correlation_id)
        verdict, detail = await self.store.assign(viewer_of(ctx), session_id, request.agent_id, request.version, body)
        if verdict is AgentAssignVerdict.UNKNOWN:
            raise session_not_found(session_id)
        if verdict is AgentAssignVerdict.CLOSED:
            raise session_closed(session_id, detail)
        if verdict is AgentAssignVerdict.BUSY:
            raise SessionBusy(f"Session {session_id} is processing a message; its agent can't change meanwhile.")
        await self.audit.done(ctx, "agent.assign", f"{session_id}: {request.agent_id} {request.version or 'latest'}")
        return await self.get(ctx, session_id)

    async def pause(self, ctx: RequestContext, session_id: str) -> Session:
        """Pause a session.

        Raises:
            NotFound, SessionClosed, TransitionRefused
        """
        return await self._move(ctx, session_id, SessionState.PAUSED, "paused", MOVED_FROM[SessionMove.PAUSE])

    async def resume(self, ctx: RequestContext, session_id: str) -> Session:
        """Make a session ready for messages again.

        Raises:
            NotFound, SessionClosed, TransitionRefused
        """
        return await self._move(ctx, session_id, SessionState.ACTIVE, "resumed", MOVED_FROM[SessionMove.RESUME])

    async def connected(self, ctx: RequestContext, session_id: str) -> Session:
        """Note that a socket was opened: a new or suspended session becomes active.

        Raises:
            NotFound, SessionClosed
        """
        session = await self.get(ctx, session_id)
        if session.state in CLOSED or await self._expired(session):
            raise session_closed(session_id, session.state)
        if session.state not in {SessionState.CREATED, SessionState.SUSPENDED}:
            return session
        sources = frozenset({SessionState.CREATED, SessionState.SUSPENDED})
        await self._moves.move(
            viewer_of(ctx), session_id, SessionState.ACTIVE, sources, "connected", ctx.correlation_id
        )
        return await self.get(ctx, session_id)

    async def close(self, ctx: RequestContext, session_id: str) -> Session:
        """Close a session: its turns are cancelled, its sockets closed.

        Raises:
            NotFound
            SessionClosed: it was closed before.
        """
        verdict, state = await self._moves.close(viewer_of(ctx), session_id, ctx.correlation_id, "closed")
        if verdict in {SessionCloseVerdict.UNKNOWN, SessionCloseVerdict.REFUSED}:
            unknown = verdict is SessionCloseVerdict.UNKNOWN
            raise session_not_found(session_id) if unknown else session_closed(session_id, state)
        await self.audit.done(ctx, "session.close", session_id)
        session = await self.get(ctx, session_id)
        self._moves.count_end(session, session.state)
        return session

    async def _check_agent(self, ctx: RequestContext, viewer: Viewer, agent_id: str) -> None:
        if self.agents is None:
            return
        try:
            await must_exist(self.agents, ctx, agent_id)
        except NotFound:
            # A repeated request is answered as it was, whatever has become of the agent.
            key = ctx.idempotency_key or ctx.message_id
            if key is None or not await self.store.knows_key(viewer, key):
                raise

    async def _move(
        self,
        ctx: RequestContext,
        session_id: str,
        new: SessionState,
        reason: str,
        sources: frozenset[SessionState],
    ) -> Session:
        verdict, state = await self._moves.move(viewer_of(ctx), session_id, new, sources, reason, ctx.correlation_id)
        if verdict is SessionMoveVerdict.UNKNOWN:
            raise session_not_found(session_id)
        if verdict is SessionMoveVerdict.REFUSED:
            previous = read_state(session_id, state)
            if previous in CLOSED:
                raise session_closed(session_id, previous)
            raise TransitionRefused(refusal(previous, new))
        return await self.get(ctx, session_id)

    async def _expired(self, session: Session) -> bool:
        return session.expires_at is not None and from_timestamp(session.expires_at) <= await self.store.now_ms()
