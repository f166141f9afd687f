"""Conversation: stores the messages of conversations."""

from functools import partial
from typing import Any, Final

from attrs import evolve, frozen
from attrs import fields as fields_of

from orchestrator.clients.dialects.answers import CONVERSATION as CONVERSATION_NAMES
from orchestrator.clients.dialects.answers import MESSAGE
from orchestrator.clients.service_record import ServiceRecord
from orchestrator.clients.transport.answers import title
from orchestrator.clients.transport.messages import payload
from orchestrator.clients.transport.transport import Transport
from orchestrator.codec import structure
from orchestrator.dialects.engine_runs import own_names
from orchestrator.errors import InvalidAnswer, InvalidBody
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.page import Page
from orchestrator.models.downstream.operation import Fallback, Operation, Owner, PlanAccess
from orchestrator.models.sessions.chat import HistoryMessage

_operation = partial(Operation, "conversation", domain="conversation", idempotent=True)
_MESSAGES: Final = "/api/v1/conversations/{conversation_id}/messages"
_OWNERS: Final = {"conversation_id": Owner.CONVERSATION, "message_id": Owner.WITHIN}

CREATE: Final = _operation(
    "create",
    "POST",
    "/api/v1/conversations",
    required=("user_id", "agent_id"),
    optional=("conversation_id", "session_id", "metadata"),
    plan=PlanAccess(
        "chat:write",
        {
            "user_id": Owner.USER,
            "agent_id": Owner.TENANT,
            "conversation_id": Owner.NEW_CONVERSATION,
            "session_id": Owner.SESSION,
        },
        ("metadata",),
        begins="conversation_id",
    ),
    fallback=Fallback("the turn goes on; the next one begins the conversation"),
)
APPEND: Final = _operation(
    "append",
    "POST",
    _MESSAGES,
    required=("role", "content"),
    optional=("message_id", "content_type", "created_at", "metadata"),
    plan=PlanAccess("chat:write", _OWNERS, ("role", "content", "content_type", "created_at", "metadata")),
    fallback=Fallback("the message stays in the window that is kept here"),
)
MESSAGES: Final = _operation(
    "messages",
    "GET",
    _MESSAGES,
    optional=("before", "after", "limit", "offset"),
    plan=PlanAccess("chat:read", {**_OWNERS, "before": Owner.WITHIN, "after": Owner.WITHIN}, ("limit", "offset")),
    fallback=Fallback("the end of the conversation, as it is kept here"),
)
DELETE: Final = _operation("delete", "DELETE", f"{_MESSAGES}/{{message_id}}", plan=PlanAccess("chat:write", _OWNERS))
CONTEXT: Final = _operation(
    "context",
    "GET",
    "/api/v1/internal/context/{conversation_id}",
    optional=("max_tokens", "message_count"),
    plan=PlanAccess("chat:read", _OWNERS, ("max_tokens", "message_count")),
    fallback=Fallback("the window that is kept here"),
)
_MEMORY: Final = "/api/v1/conversations/{conversation_id}/memory"
REMEMBER: Final = _operation(
    "remember",
    "PUT",
    _MEMORY,
    required=("memory_key", "memory_value"),
    optional=("ttl",),
    plan=PlanAccess("chat:write", _OWNERS, ("memory_key", "memory_value", "ttl")),
)
MEMORY: Final = _operation(
    "memory", "GET", _MEMORY, required=("memory_key",), plan=PlanAccess("chat:read", _OWNERS, ("memory_key",))
)
_FIELDS: Final = {attribute.name for attribute in fields_of(HistoryMessage)}


@frozen
class ConversationContext:
    """Context of an agent: the conversation so far."""

    messages: list[dict[str, Any]]
    summary: str
    total_tokens: int


@frozen
class ConversationClient:
    """Calls the Conversation service; every method raises what `Transport.call` raises."""

    transport: Transport

    async def create(
        self,
        call: CallContext,
        conversation_id: str,
        *,
        session_id: str,
        user_id: str,
        agent_id: str,
        metadata: dict[str, Any] | None = None,
    ) -> str:
        """Create a conversation and return its id: the proposed one, unless the service chooses another.

        `metadata` has the free fields of the session.
        """
        parameters = {
            "conversation_id": conversation_id,
            "user_id": user_id,
            "agent_id": agent_id,
            "session_id": session_id,
            "metadata": metadata or {},
        }
        answer = await self.transport.call(call, CREATE, parameters, session_id=session_id, user_id=user_id)
        created = payload(answer)
        return evolve(created, fields=own_names(created.fields, CONVERSATION_NAMES)).text("conversation_id")

    async def append(self, call: CallContext, conversation_id: str, said: HistoryMessage) -> None:
        """Add a message; NotFound where there is no such conversation."""
        parameters = {
            "conversation_id": conversation_id,
            "message_id": said.message_id,
            "role": said.role,
            "content": said.content,
            "content_type": said.content_type,
            "created_at": said.created_at,
            "metadata": said.metadata,
        }
        payload(await self.transport.call(call, APPEND, parameters, conversation_id=conversation_id))

    async def messages(
        self, call: CallContext, conversation_id: str, *, before: str | None, after: str | None, limit: int
    ) -> Page[HistoryMessage]:
        """Return messages, oldest first: the last ones, or those before or after a message.

        The page's cursor is the message to continue from: with `after` where that was given, else with `before`.
        """
        parameters = {"conversation_id": conversation_id, "before": before, "after": after, "limit": limit}
        answer = payload(await self.transport.call(call, MESSAGES, parameters))
        items = [_said(self.transport.service, fields) for fields in answer.mappings("messages")]
        items = _beyond(items, before, after)
        more = bool(items) and answer.truth("has_more", default=False)
        return Page(items, items[-1 if after else 0].message_id if more else None)

    async def delete(self, call: CallContext, conversation_id: str, message_id: str) -> None:
        """Delete a message."""
        await self.transport.call(call, DELETE, {"conversation_id": conversation_id, "message_id": message_id})

    async def context(
        self, call: CallContext, conversation_id: str, *, max_tokens: int, message_count: int
    ) -> ConversationContext:
        """Return the context of an agent: the end of the conversation, within `max_tokens`."""
        parameters = {
            "conversation_id": conversation_id,
            "max_tokens": max_tokens,
            "message_count": message_count,
        }
        answer = payload(await self.transport.call(call, CONTEXT, parameters))
        return ConversationContext(
            [own_names(said, MESSAGE) for said in answer.mappings("messages")],
            answer.text("context_summary", ""),
            answer.whole("total_tokens", 0),
        )


CONVERSATION: Final = ServiceRecord(
    "conversation",
    ConversationClient,
    (CREATE, APPEND, MESSAGES, DELETE, CONTEXT, REMEMBER, MEMORY),
)


def _beyond(items: list[HistoryMessage], before: str | None, after: str | None) -> list[HistoryMessage]:
    """Leave out what a service that knows no such places has sent once more, so that a reader comes to an end."""
    for index, said in enumerate(items):
        if said.message_id == before:
            return items[:index]
        if said.message_id == after:
            return items[index + 1 :]
    return items


def _said(service: str, fields: dict[str, Any]) -> HistoryMessage:
    known = {name: value for name, value in own_names(fields, MESSAGE).items() if name in _FIELDS}
    try:
        return structure(known, HistoryMessage, "$.messages")
    except InvalidBody as error:
        raise InvalidAnswer(f"{title(service)} answered wrongly: {error.message}", service=service) from None
