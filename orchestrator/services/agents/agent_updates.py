"""Changes of agents as Agent Management tells them: what is kept is read anew, and sessions follow where they must."""

from typing import Final

import structlog
from attrs import evolve, frozen

from orchestrator.errors import NotFound, OrchestratorError, StoreUnavailable
from orchestrator.models.agents.agent_views import AgentAssign, AgentUpdated, Forgotten
from orchestrator.models.common.principal import RequestContext, Role
from orchestrator.models.events.notification import MOST_USERS, NotificationSend
from orchestrator.models.sessions.session import Session
from orchestrator.services.downstream.catalog_invalidation import CatalogInvalidation
from orchestrator.services.notifications.notifications import NotificationService
from orchestrator.services.sessions.session_manager import SessionManager

_TITLE: Final = "The agent has changed"
_log = structlog.get_logger("orchestrator.services.agents.agent_updates")


@frozen
class AgentUpdates:
    """Takes changes of agents.

    Args:
        catalog: what is kept of agents, in all processes.
        sessions: those that may be bound to a version.
        notifications: by which users of sessions are told.
    """

    catalog: CatalogInvalidation
    sessions: SessionManager
    notifications: NotificationService

    async def take(self, ctx: RequestContext, notice: AgentUpdated) -> Forgotten:
        """Have an agent looked up anew from the next turn on; sessions that the notice names follow, or are told.

        Args:
            ctx: who tells it; the agent is one of the same tenant.
            notice: the agent, its latest version, and sessions.

        Raises:
            StoreUnavailable: Redis is away; other processes may use the old agent until it expires.
        """
        forgotten = await self.catalog.agent_updated(ctx, notice)
        whole = evolve(ctx, principal=evolve(ctx.principal, role=Role.OPERATOR))
        for session_id in notice.rebind if notice.version is not None else ():
            session = await self._session(whole, session_id, notice.agent_id)
            if session is not None and session.pinned_version not in {None, notice.version}:
                await self._rebind(whole, session_id, AgentAssign(notice.agent_id, notice.version))
        if notice.notify:
            await self._notify(whole, notice)
        return forgotten

    async def _session(self, ctx: RequestContext, session_id: str, agent_id: str) -> Session | None:
        """Return a session of an agent; None: it is not there, or another agent's by now."""
        try:
            session = await self.sessions.get(ctx, session_id)
        except NotFound:
            return None
        return session if session.agent_id == agent_id else None

    async def _rebind(self, ctx: RequestContext, session_id: str, request: AgentAssign) -> None:
        try:
            await self.sessions.assign(ctx, session_id, request)
        except StoreUnavailable:
            raise
        except OrchestratorError as error:
            _log.info("agent_update.session_kept", session_id=session_id, code=error.code)

    async def _notify(self, ctx: RequestContext, notice: AgentUpdated) -> None:
        """Tell the users of sessions, each once, and none of the sessions of others."""
        found = [await self._session(ctx, session_id, notice.agent_id) for session_id in notice.notify]
        users = sorted({session.user_id for session in found if session is not None})
        version = notice.version or "latest"
        for begin in range(0, len(users), MOST_USERS):
            told = NotificationSend(
                _TITLE,
                f"{notice.agent_id} answers by its version {version} from the next message on.",
                user_ids=users[begin : begin + MOST_USERS],
                data={"agent_id": notice.agent_id, "version": notice.version},
            )
            await self.notifications.send(ctx, told)
