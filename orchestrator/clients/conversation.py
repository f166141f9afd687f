"""Conversation: keeps what was said."""

from typing import Any, Final

from attrs import fields as fields_of
from attrs import frozen

from orchestrator.clients.answers import title
from orchestrator.clients.messages import message, payload
from orchestrator.clients.transport import Transport, path_part
from orchestrator.codec import structure
from orchestrator.errors import BadGateway, InvalidBody
from orchestrator.models.call import CallContext
from orchestrator.models.chat import HistoryMessage
from orchestrator.models.page import Page

_FIELDS: Final = {attribute.name for attribute in fields_of(HistoryMessage)}


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

    async def messages(
        self, call: CallContext, conversation_id: str, *, before: str | None, after: str | None, limit: int
    ) -> Page[HistoryMessage]:
        """Return messages, oldest first: the last ones, or those before or after a message.

        The page's cursor is the message to go on from: with `after` where that was given, else with `before`.
        """
        bounds = {"before": before, "after": after, "limit": limit}
        query = {name: value for name, value in bounds.items() if value is not None}
        answer = payload(await self.transport.get(call, f"{_of(conversation_id)}/messages", query))
        items = [_said(self.transport.service, fields) for fields in answer.mappings("messages")]
        more = bool(items) and answer.truth("has_more", default=False)
        return Page(items, items[-1 if after else 0].message_id if more else None)

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


def _said(service: str, fields: dict[str, Any]) -> HistoryMessage:
    known = {name: value for name, value in fields.items() if name in _FIELDS}
    try:
        return structure(known, HistoryMessage, "$.messages")
    except InvalidBody as error:
        raise BadGateway(f"{title(service)} answered wrongly: {error.message}", service=service) from None
