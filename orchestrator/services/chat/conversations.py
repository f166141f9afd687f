"""Conversations as people look at them: read from the Conversation service, and taken out of it."""

from typing import Final

from attrs import frozen

from orchestrator.clients.conversation import ConversationClient, ConversationContext
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.page import Page
from orchestrator.models.plans.orchestration import MEDIUM, ONCE, ServiceCall
from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator

MESSAGES: Final = ServiceCall("conversation", "messages", ONCE)
"""A user looks at the screen: what is kept here is shown rather than waited for more."""
CONTEXT: Final = ServiceCall("conversation", "context", MEDIUM)
DELETE: Final = ServiceCall("conversation", "delete", MEDIUM)
SUMMARY_TOKENS: Final = 4000


@frozen
class Conversations:
    """Asks the Conversation service on behalf of people; every method raises what `ServiceCoordinator.run` raises."""

    client: ConversationClient
    coordinator: ServiceCoordinator

    async def messages(
        self, call: CallContext, conversation_id: str, *, before: str | None, after: str | None, limit: int
    ) -> Page[HistoryMessage]:
        """Return messages, oldest first."""
        return await self.coordinator.run(
            MESSAGES,
            call,
            lambda limited: self.client.messages(limited, conversation_id, before=before, after=after, limit=limit),
        )

    async def summary(self, call: CallContext, conversation_id: str, message_count: int) -> ConversationContext:
        """Return what a conversation was about."""
        return await self.coordinator.run(
            CONTEXT,
            call,
            lambda limited: self.client.context(
                limited, conversation_id, max_tokens=SUMMARY_TOKENS, message_count=message_count
            ),
        )

    async def delete(self, call: CallContext, conversation_id: str, message_id: str) -> None:
        """Take a message out."""
        await self.coordinator.run(
            DELETE, call, lambda limited: self.client.delete(limited, conversation_id, message_id)
        )
