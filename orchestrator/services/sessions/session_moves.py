"""Moves of sessions from state to state, and what is counted where one has ended by that."""

import structlog
from attrs import frozen

from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.domain.session_states import CLOSED, IdleMove, IdleTimes
from orchestrator.errors import TenantDamaged
from orchestrator.models.common.timestamps import from_timestamp, now_ms
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.services.shared.views import state_body, status_template
from orchestrator.store.sessions.sessions import SessionStore, Viewer
from orchestrator.store.sessions.verdicts import SessionCloseVerdict, SessionMoveVerdict
from orchestrator.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


@frozen
class SessionMoves:
    """Moves and closes sessions, for users and for timers alike."""

    store: SessionStore
    settings: AgentOrchestratorSettings
    metrics: Metrics

    @property
    def idle_times(self) -> IdleTimes:
        """How long sessions may be idle."""
        return IdleTimes(self.settings.pause_after, self.settings.suspend_after, self.settings.archive_after)

    async def idle_moves(self, tenant_id: str, limit: int = 100) -> int:
        """Make the moves that idleness leads to, and close sessions whose time is over; returns how many were due."""
        due = await self.store.due(tenant_id, limit, retain_seconds=int(self.settings.retain_sessions))
        viewer = Viewer(tenant_id, "", sees_whole_tenant=True)
        for session_id in due.over:
            if session := await self._legible(viewer, session_id):
                closed, _ = await self.close(viewer, session_id, "session-timer", "expired", if_over=True)
                if closed is SessionCloseVerdict.OK:
                    self.count_end(session, SessionState.TERMINATED)
        for session_id in due.idle:
            session = await self._legible(viewer, session_id)
            move = self.idle_times.next_move(session.state) if session else None
            if session is None or move is None:
                await self.store.drop_timer(tenant_id, session_id)
            elif await self._idle_move(viewer, session, move):
                self.count_end(session, move.new)
        return len(due.idle) + len(due.over)

    async def _idle_move(self, viewer: Viewer, session: Session, move: IdleMove) -> bool:
        """Make a move that idleness leads to; returns whether it was made."""
        session_id, sources = session.session_id, frozenset({session.state})
        if move.new is SessionState.TERMINATED:
            closed, _ = await self.close(viewer, session_id, "idle-timer", "unused", idle_ms=move.after_ms)
            return closed is SessionCloseVerdict.OK
        moved, _ = await self.move(viewer, session_id, move.new, sources, "idle", "idle-timer", idle=True)
        return moved is SessionMoveVerdict.OK

    async def _legible(self, viewer: Viewer, session_id: str) -> Session | None:
        """Return a session; None where there is none, or its record can't be read, which is logged."""
        try:
            return await self.store.get(viewer, session_id)
        except TenantDamaged as damage:
            _log.error("session.damaged", tenant_id=viewer.tenant_id, session_id=session_id, error=damage.reason)
            return None

    async def close(
        self,
        viewer: Viewer,
        session_id: str,
        correlation_id: str,
        reason: str,
        *,
        if_over: bool = False,
        idle_ms: int | None = None,
    ) -> tuple[SessionCloseVerdict, str]:
        """Close a session and cancel its turns; see `SessionStore.close`."""
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

    async def move(
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
        """Move a session to another state, if it is in one of `sources`; see `SessionStore.move`."""
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

    def count_end(self, session: Session, state: SessionState) -> None:
        """Count a session that has just come into a state, where it has ended by that.

        Args:
            session: as it was read last.
            state: the one that it is in by now.
        """
        if state in CLOSED:
            seconds = max(0, now_ms() - from_timestamp(session.created_at)) / 1000
            self.metrics.session_completed(session.tenant_id, session.agent_id, state.lower(), seconds)
