"""Agents as clients see them: Agent Management keeps them, and this passes on what it says of them."""

from typing import Any, Final

from attrs import asdict, frozen

from orchestrator.clients.registry import Clients
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.errors import NotFound, Unprocessable
from orchestrator.models.agents.agent import AgentConfig
from orchestrator.models.agents.agent_views import AgentDetails, AgentFeedback, AgentSummary, FeedbackTaken
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.plans.orchestration import MEDIUM, ServiceCall
from orchestrator.models.sessions.session import Session
from orchestrator.services.downstream.agent_catalog import AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.call_contexts import call_for
from orchestrator.services.shared.idempotency import Idempotency, without_unsaid
from orchestrator.services.shared.named_pages import page_by_name
from orchestrator.services.shared.views import viewer_of
from orchestrator.store.tasks.tasks import TaskStore

LIST: Final = ServiceCall("agent_management", "list", MEDIUM, timeout_ms=5000)
FEEDBACK: Final = ServiceCall("agent_management", "feedback", MEDIUM, timeout_ms=5000)
_ADDED: Final = frozenset({"agent_id"})
"""Fields of requests that earlier versions did not know."""
LOOKUP_SECONDS: Final = 10.0
"""Deadline of what a client waits for."""


@frozen
class AgentService:
    """Shows agents, and hands feedback on."""

    clients: Clients
    coordinator: ServiceCoordinator
    catalog: AgentCatalog
    sessions: SessionManager
    tasks: TaskStore
    repeats: Idempotency

    async def list(self, ctx: RequestContext, *, cursor: str | None, limit: int) -> Page[AgentSummary]:
        """List the tenant's agents in their latest versions, by their ids.

        Raises:
            InvalidParameter: the cursor is none of this list.
            ServiceFault: Agent Management is away, or answers nonsense.
        """
        client = self.clients.agent_management
        told = await self.coordinator.run(LIST, call_for(ctx, LOOKUP_SECONDS), client.list)
        # One whose id is none here could not be talked with.
        agents = {agent.agent_id: agent for agent in map(_summary, told) if is_id(agent.agent_id)}
        return page_by_name(agents, cursor=cursor, limit=limit)

    async def get(self, ctx: RequestContext, agent_id: str, version: str | None) -> AgentDetails:
        """Return an agent, in a version or in the latest.

        Raises:
            NotFound: there is none, or not in this version.
            ServiceFault: Agent Management is away, and stayed so.
        """
        agent = await self.catalog.agent(call_for(ctx, LOOKUP_SECONDS), agent_id, version)
        return _details(agent, whole=ctx.principal.sees_whole_tenant)

    async def feedback(self, ctx: RequestContext, given: AgentFeedback) -> tuple[FeedbackTaken, bool]:
        """Pass on a user's rating of an answer, or of a session.

        Returns:
            What was handed on, and whether an earlier request with the same idempotency key had done so.

        Raises:
            Unprocessable: it names neither, or both.
            NotFound: there is no such message or session that the caller may see.
            IdempotencyKeyReused
            ServiceFault: Agent Management is away, and stayed so.
        """
        if (given.message_id is None) == (given.session_id is None):
            fault = FieldFault("$.data", "must name either `message_id` or `session_id`")
            raise Unprocessable(f"The feedback {fault.message}.", details=[fault])
        same = without_unsaid(given, _ADDED)
        return await self.repeats.once(ctx, "agent.feedback", same, FeedbackTaken, lambda: self._hand_on(ctx, given))

    async def _hand_on(self, ctx: RequestContext, given: AgentFeedback) -> FeedbackTaken:
        session, agent_id, version = await self._about(ctx, given)
        if given.agent_id not in {None, agent_id}:
            fault = FieldFault("$.data.agent_id", "is not the agent that answered")
            raise Unprocessable(f"{fault.path} {fault.message}.", details=[fault])
        taken = FeedbackTaken(agent_id, version, session.session_id, given.rating, given.message_id)
        fields: dict[str, Any] = {
            "rating": given.rating,
            "comment": given.comment,
            "message_id": given.message_id,
            "session_id": session.session_id,
            "user_id": ctx.principal.user_id,
            "metadata": {**given.metadata, "agent_version": version},
        }
        named = ctx.idempotency_key or ctx.message_id or new_id()
        call = call_for(ctx, LOOKUP_SECONDS).keyed(f"feedback:{ctx.principal.user_id}:{named}")
        client = self.clients.agent_management
        told = {name: value for name, value in fields.items() if value is not None}
        await self.coordinator.run(FEEDBACK, call, lambda limited: client.feedback(limited, agent_id, told))
        return taken

    async def _about(self, ctx: RequestContext, given: AgentFeedback) -> tuple[Session, str, str | None]:
        """Return the session that feedback is about, and the agent that answered: it may be another by now."""
        if given.session_id is not None:
            session = await self.sessions.get(ctx, given.session_id)
            return session, session.agent_id, session.agent_version
        message_id = str(given.message_id)
        place = await self.tasks.of_message(viewer_of(ctx), message_id)
        try:
            session = await self.sessions.get(ctx, place.get("session_id", ""))
        except NotFound:
            raise NotFound(f"There is no message {message_id}.") from None
        task = await self.tasks.get(viewer_of(ctx), place["task_id"])
        if task is None or task.agent_id is None:
            return session, session.agent_id, session.agent_version
        return session, task.agent_id, task.agent_version


def _summary(told: dict[str, Any]) -> AgentSummary:
    agent = ServiceAnswer("agent_management", told, "$.agents[]")
    version = told.get("version")
    return AgentSummary(
        agent.text("agent_id"),
        str(version) if isinstance(version, int) else agent.text("version", ""),
        agent.text("name", ""),
        agent.text("description", ""),
        agent.items("tools", []),
        agent.texts("client_tools", []),
    )


def _details(agent: AgentConfig, *, whole: bool) -> AgentDetails:
    return AgentDetails(**asdict(agent) | ({} if whole else {"system_prompt": None}))
