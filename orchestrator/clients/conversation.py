"""Conversation: keeps what was said."""

from typing import Any

from attrs import frozen

from orchestrator.clients.messages import message, payload
from orchestrator.clients.transport import Transport, path_part
from orchestrator.models.call import CallContext
from orchestrator.models.chat import HistoryMessage


@frozen
class ConversationContext:
    """What an agent is told of the conversation so far."""

    messages: list[dict[str, Any]]
    summary: str
    total_tokens: int
    has_more: bool


@frozen
class ConversationClient:
    """Calls the Conversation service; every method raises what `Transport.request` raises."""

    transport: Transport

    async def create(
        self, call: CallContext, conversation_id: str, *, session_id: str, user_id: str, agent_id: str
    ) -> str:
        """Begin a conversation and return its id: the proposed one, unless the service has its own way."""
        fields = {"conversation_id": conversation_id, "user_id": user_id, "agent_id": agent_id}
        body = message(
            call, "conversation", "create", {**fields, "session_id": session_id}, session_id=session_id, user_id=user_id
        )
        answer = payload(await self.transport.request(call, "POST", "/api/v1/conversations", body))
        return answer.text("conversation_id")

    async def append(self, call: CallContext, conversation_id: str, said: HistoryMessage) -> None:
        """Add a message; NotFound where there is no such conversation."""
        fields = {
            "message_id": said.message_id,
            "role": said.role,
            "content": said.content,
            "content_type": said.content_type,
            "created_at": said.created_at,
            "metadata": said.metadata,
        }
        body = message(call, "conversation", "append", fields, conversation_id=conversation_id)
        payload(await self.transport.request(call, "POST", f"{_of(conversation_id)}/messages", body))

    async def messages(self, call: CallContext, conversation_id: str, *, limit: int) -> list[dict[str, Any]]:
        """Return the last messages, oldest first."""
        answer = payload(await self.transport.get(call, f"{_of(conversation_id)}/messages", {"limit": limit}))
        return answer.mappings("messages")

    async def delete(self, call: CallContext, conversation_id: str, message_id: str) -> None:
        """Take a message out."""
        path = f"{_of(conversation_id)}/messages/{path_part(message_id)}"
        await self.transport.request(call, "DELETE", path)

    async def context(
        self, call: CallContext, conversation_id: str, *, max_tokens: int, message_count: int
    ) -> ConversationContext:
        """Return what an agent should know of the conversation."""
        path = f"/api/v1/internal/context/{path_part(conversation_id)}"
        query = {"max_tokens": max_tokens, "message_count": message_count}
        answer = payload(await self.transport.get(call, path, query))
        return ConversationContext(
            answer.mappings("messages"),
            answer.text("context_summary", ""),
            answer.whole("total_tokens", 0),
            answer.truth("has_more", default=False),
        )


def _of(conversation_id: str) -> str:
    return f"/api/v1/conversations/{path_part(conversation_id)}"
