"""What a turn remembers: the Conversation service, or the window that is kept here where Conversation is away."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from attrs import define, field

from orchestrator.clients.conversation import ConversationClient
from orchestrator.errors import NotFound
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import HIGH, ONCE, ServiceCall
from orchestrator.models.sessions.chat import HistoryMessage, Speaker
from orchestrator.services.downstream.fallbacks import or_none
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.services.plans.attempt import Attempt

T = TypeVar("T")

APPEND: Final = ServiceCall("conversation", "append", HIGH)
APPEND_ONCE: Final = ServiceCall("conversation", "append", ONCE)
"""Where Conversation has been found away in the same turn."""
CONTEXT: Final = ServiceCall("conversation", "context", ONCE, timeout_ms=2000)
"""The turn goes on from the kept window rather than wait longer."""
CONTEXT_TOKENS: Final = 4000
CONTEXT_MESSAGES: Final = 20


@define
class TurnMemory:
    """Stores and recalls the messages of one turn; nothing here fails the turn, `degraded` says what was away."""

    run: Attempt
    client: ConversationClient
    coordinator: ServiceCoordinator
    conversation_id: str | None
    """None until the session's first turn has begun the conversation."""
    question_stored: bool = False
    degraded: set[str] = field(factory=set)

    async def store_question(self, call: CallContext) -> None:
        """Store what the user said."""
        message = self.run.message
        said = message.payload
        metadata = dict(said.get("metadata") or {})
        if said.get("attachments"):
            metadata["attachments"] = said["attachments"]
        question = HistoryMessage(
            said["message_id"],
            Speaker.USER,
            said["content"],
            message.created_at,
            said.get("content_type", "text/plain"),
            metadata,
        )
        self.question_stored = await self._store(call.keyed(f"{message.task_id}:question"), question)

    async def store_answer(self, call: CallContext, answer: HistoryMessage) -> None:
        """Store what the agent said; however often a turn is attempted, it is stored once."""
        await self._store(call.keyed(f"{self.run.message.task_id}:answer"), answer)

    async def recall(self, call: CallContext) -> dict[str, Any]:
        """Return what the agent is told of the conversation so far."""
        conversation_id = self.conversation_id
        if conversation_id is not None:
            found = await self._or_none(CONTEXT, call, lambda limited: self._context(limited, conversation_id))
            if found is not None:
                return found
        kept = [
            {"message_id": said.message_id, "role": said.role, "content": said.content}
            for said in await self.run.recent()
        ]
        return {"messages": self._earlier(kept)}

    async def _context(self, call: CallContext, conversation_id: str) -> dict[str, Any]:
        found = await self.client.context(
            call, conversation_id, max_tokens=CONTEXT_TOKENS, message_count=CONTEXT_MESSAGES
        )
        return {"messages": self._earlier(found.messages), "context_summary": found.summary}

    def _earlier(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out the question itself, which may or may not have been stored already."""
        question = self.run.message.payload["message_id"]
        return [said for said in messages if said.get("message_id") != question]

    async def _store(self, call: CallContext, said: HistoryMessage) -> bool:
        async def append(limited: CallContext) -> bool:
            if self.conversation_id is None:
                self.conversation_id = await self._begin(limited)
            try:
                await self.client.append(limited, self.conversation_id, said)
            except NotFound:
                self.conversation_id = await self._begin(limited)
                await self.client.append(limited, self.conversation_id, said)
            return True

        step = APPEND_ONCE if "conversation" in self.degraded else APPEND
        return await self._or_none(step, call, append) or False

    async def _begin(self, call: CallContext) -> str:
        session = self.run.session
        return await self.client.create(
            call.keyed(f"{session.session_id}:conversation"),
            session.session_id,
            session_id=session.session_id,
            user_id=session.user_id,
            agent_id=session.agent_id,
            metadata=session.metadata,
        )

    async def _or_none(
        self, step: ServiceCall, call: CallContext, operation: Callable[[CallContext], Awaitable[T]]
    ) -> T | None:
        result = await or_none(self.coordinator, step, call, operation)
        if result is None:
            self.degraded.add(step.service)
        return result
