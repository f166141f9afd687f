"""Transcripts: what was said in a session, as its people read it, and take it back."""

from typing import Final

from attrs import frozen

from orchestrator.codec import decode
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.sessions.chat import ChatDeleted, ChatSummary, HistoryMessage
from orchestrator.models.sessions.session import Session
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.call_contexts import call_for
from orchestrator.store.tasks.tasks import TaskStore

LOOKUP_SECONDS: Final = 10.0
"""Deadline of history, summary and deletion."""


@frozen
class Transcripts:
    """Shows what was said: as Conversation has it, or else as far as it is kept here."""

    tasks: TaskStore
    sessions: SessionManager
    conversations: Conversations
    settings: AgentOrchestratorSettings

    async def history(
        self, ctx: RequestContext, session_id: str, *, before: str | None, after: str | None, limit: int
    ) -> Page[HistoryMessage]:
        """Return messages of a conversation, oldest first.

        Args:
            ctx: the request.
            session_id: whose conversation.
            before: only messages before this one.
            after: only messages after this one.
            limit: how many; the latest ones, unless `after` is given.

        Raises:
            NotFound: there is no such session.
        """
        session = await self.sessions.get(ctx, session_id)
        if session.conversation_id is None:
            return Page(await self.recent(ctx.tenant_id, session_id, limit))
        try:
            call = call_for(ctx, LOOKUP_SECONDS)
            return await self.conversations.messages(
                call, session.conversation_id, before=before, after=after, limit=limit
            )
        except ServiceFault:
            # The Conversation service is away: what is kept here still shows the end of the conversation.
            if before is not None or after is not None:
                raise
            return Page(await self.recent(ctx.tenant_id, session_id, limit))

    async def recent(self, tenant_id: str, session_id: str, limit: int) -> list[HistoryMessage]:
        """Return the last messages that are kept here, oldest first."""
        return [decode(raw, HistoryMessage) for raw in await self.tasks.history(tenant_id, session_id, limit)]

    async def summary(self, ctx: RequestContext, session_id: str) -> ChatSummary:
        """Say what a conversation was about.

        Raises:
            NotFound, ServiceFault
        """
        session = await self.sessions.get(ctx, session_id)
        if session.conversation_id is None:
            return ChatSummary(session_id, session.message_count)
        context = await self.conversations.summary(
            call_for(ctx, LOOKUP_SECONDS), session.conversation_id, self.settings.history_length
        )
        return ChatSummary(session_id, session.message_count, context.summary or None, context.total_tokens)

    async def delete(self, ctx: RequestContext, message_id: str) -> ChatDeleted:
        """Take a message out of its conversation.

        Raises:
            NotFound, ServiceFault
        """
        session, _ = await self.place_of(ctx, message_id)
        if session.conversation_id is None:
            raise _message_not_found(message_id)
        await self.conversations.delete(call_for(ctx, LOOKUP_SECONDS), session.conversation_id, message_id)
        await self.tasks.forget_message(ctx.tenant_id, session.session_id, message_id)
        return ChatDeleted(message_id, deleted=True)

    async def place_of(self, ctx: RequestContext, message_id: str) -> tuple[Session, str]:
        """Return the session and the task of a user's message.

        Raises:
            NotFound: there is no such message that the caller may see.
        """
        place = await self.tasks.of_message(ctx.tenant_id, message_id)
        if not place:
            raise _message_not_found(message_id)
        try:
            return await self.sessions.get(ctx, place["session_id"]), place["task_id"]
        except NotFound:
            raise _message_not_found(message_id) from None


def _message_not_found(message_id: str) -> NotFound:
    return NotFound(f"There is no message {message_id}.")
