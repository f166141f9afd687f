"""Sessions, from creation to archive."""

import hashlib
from functools import partial

import orjson
import structlog
from attrs import field, frozen

from orchestrator.codec import encode
from orchestrator.config.constants import PAGE_LIMIT
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.session_states import CLOSED, IdleTimes, refusal, sources_of
from orchestrator.errors import NotFound, PermissionMissing, SessionBusy, TenantDamaged, TransitionRefused
from orchestrator.models.agents.agent_views import AgentAssign
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import Session, SessionCreate, SessionState, SessionUpdate
from orchestrator.services.shared.agent_lookup import Agents, must_exist
from orchestrator.services.shared.paging import filtered_page
from orchestrator.services.shared.views import (
    agent_body,
    key_reused,
    quota_reached,
    rate_limited,
    session_closed,
    session_not_found,
    state_body,
    status_template,
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
)
from orchestrator.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


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
    def idle_times(self) -> IdleTimes:
        """How long sessions may be idle."""
        return IdleTimes(self.settings.pause_after, self.settings.suspend_after, self.settings.archive_after)

    async def create(self, ctx: RequestContext, request: SessionCreate) -> tuple[Session, bool]:
        """Create a session.

        Returns:
            The session, and whether an earlier request with the same idempotency key had already created it.

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
            self.metrics.session_created(ctx.tenant_id)
            await self.audit.done(ctx, "session.create", creation.detail)
        return await self.get(ctx, creation.detail), verdict is SessionCreateVerdict.REPLAYED

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
        *,
        state: SessionState | None = None,
        agent_id: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE_LIMIT,
    ) -> Page[Session]:
        """List the caller's sessions, the last active first.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        viewer = viewer_of(ctx)

        async def load(session_ids: list[str]) -> dict[str, Session]:
            return {one.session_id: one for one in await self.store.load(viewer.tenant_id, session_ids)}

        return await filtered_page(
            partial(self.store.page, viewer),
            load,
            lambda session: state in {None, session.state} and agent_id in {None, session.agent_id},
            cursor=cursor,
            limit=limit,
        )

    async def update(self, ctx: RequestContext, session_id: str, request: SessionUpdate) -> Session:
        """Change a session's metadata or context.

        Raises:
            NotFound, SessionClosed, QueueFull
        """
        fields: dict[str, str | bytes] = {
            name: orjson.dumps(value)
            for name, value in (("metadata", request.metadata), ("context", request.context))
            if value is not None
        }
        verdict, state = await self.store.update(viewer_of(ctx), session_id, fields)
        if verdict is SessionUpdateVerdict.UNKNOWN:
            raise session_not_found(session_id)
        if verdict is SessionUpdateVerdict.CLOSED:
            raise session_closed(session_id, state)
        if verdict is SessionUpdateVerdict.FULL:
            raise quota_reached(state)
        return await self.get(ctx, session_id)

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
        return await self._move(ctx, session_id, SessionState.PAUSED, "paused")

    async def resume(self, ctx: RequestContext, session_id: str) -> Session:
        """Make a session ready for messages again.

        Raises:
            NotFound, SessionClosed, TransitionRefused
        """
        return await self._move(
            ctx, session_id, SessionState.ACTIVE, "resumed", not_from=frozenset({SessionState.PROCESSING})
        )

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
        await self._try_move(viewer_of(ctx), session_id, SessionState.ACTIVE, sources, "connected", ctx.correlation_id)
        return await self.get(ctx, session_id)

    async def close(self, ctx: RequestContext, session_id: str) -> Session:
        """Close a session: its turns are cancelled, its sockets closed.

        Raises:
            NotFound
            SessionClosed: it was closed before.
        """
        verdict, state = await self._try_close(viewer_of(ctx), session_id, ctx.correlation_id, "closed")
        if verdict in {SessionCloseVerdict.UNKNOWN, SessionCloseVerdict.REFUSED}:
            unknown = verdict is SessionCloseVerdict.UNKNOWN
            raise session_not_found(session_id) if unknown else session_closed(session_id, state)
        await self.audit.done(ctx, "session.close", session_id)
        return await self.get(ctx, session_id)

    async def idle_moves(self, tenant_id: str, limit: int = 100) -> int:
        """Make the moves that idleness leads to, and close sessions whose time is over; returns how many were due."""
        due = await self.store.due(tenant_id, limit, retain_seconds=int(self.settings.retain_sessions))
        viewer = Viewer(tenant_id, "", sees_whole_tenant=True)
        for session_id in due.over:
            if await self._legible(viewer, session_id):
                await self._try_close(viewer, session_id, "session-timer", "expired", if_over=True)
        for session_id in due.idle:
            session = await self._legible(viewer, session_id)
            move = self.idle_times.next_move(session.state) if session else None
            if session and move and move.new is SessionState.TERMINATED:
                await self._try_close(viewer, session_id, "idle-timer", "unused", idle_ms=move.after_ms)
            elif session and move:
                sources = frozenset({session.state})
                await self._try_move(viewer, session_id, move.new, sources, "idle", "idle-timer", idle=True)
            else:
                await self.store.drop_timer(tenant_id, session_id)
        return len(due.idle) + len(due.over)

    async def _legible(self, viewer: Viewer, session_id: str) -> Session | None:
        """Return a session; None where there is none, or its record can't be read, which is logged."""
        try:
            return await self.store.get(viewer, session_id)
        except TenantDamaged as damage:
            _log.error("session.damaged", tenant_id=viewer.tenant_id, session_id=session_id, error=damage.reason)
            return None

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
        not_from: frozenset[SessionState] = frozenset(),
    ) -> Session:
        sources = sources_of(new) - not_from
        verdict, state = await self._try_move(viewer_of(ctx), session_id, new, sources, reason, ctx.correlation_id)
        if verdict is SessionMoveVerdict.UNKNOWN:
            raise session_not_found(session_id)
        if verdict is SessionMoveVerdict.REFUSED:
            previous = SessionState(state)
            if previous in CLOSED:
                raise session_closed(session_id, previous)
            raise TransitionRefused(refusal(previous, new))
        return await self.get(ctx, session_id)

    async def _expired(self, session: Session) -> bool:
        return session.expires_at is not None and from_timestamp(session.expires_at) <= await self.store.now_ms()

    async def _try_close(
        self,
        viewer: Viewer,
        session_id: str,
        correlation_id: str,
        reason: str,
        *,
        if_over: bool = False,
        idle_ms: int | None = None,
    ) -> tuple[SessionCloseVerdict, str]:
        tenant_id = viewer.tenant_id
        return await self.store.close(
            viewer,
            session_id,
            correlation_id=correlation_id,
            state_body=state_body(tenant_id, session_id, SessionState.TERMINATED, correlation_id),
            status_template=status_template(tenant_id, MessageStatus.CANCELLED, correlation_id),
            retain_tasks=int(self.settings.retain_tasks),
            retain_session=int(self.settings.retain_sessions),
            reason=reason,
            if_over=if_over,
            idle_ms=idle_ms,
        )

    async def _try_move(
        self,
        viewer: Viewer,
        session_id: str,
        new: SessionState,
        sources: frozenset[SessionState],
        reason: str,
        correlation_id: str,
        *,
        idle: bool = False,
    ) -> tuple[SessionMoveVerdict, str]:
        following = self.idle_times.next_move(new)
        return await self.store.move(
            viewer,
            session_id,
            new,
            sources=sources,
            reason=reason,
            correlation_id=correlation_id,
            body=state_body(viewer.tenant_id, session_id, new, correlation_id),
            next_idle_ms=following.after_ms if following else None,
            retain_seconds=int(self.settings.retain_sessions),
            idle=idle,
        )
