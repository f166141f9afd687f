"""Turns, and what was said, in memory."""

from collections.abc import Awaitable, Callable

from attrs import define, field, frozen

from orchestrator.codec import unstructure
from orchestrator.errors import NotFound, OrchestratorError
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.limits import RateState
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import Snapshot, ToolResult
from orchestrator.models.sessions.chat import (
    ChatAccepted,
    ChatAnswer,
    ChatCancel,
    ChatCancelled,
    ChatDeleted,
    ChatSummary,
    ChatTurn,
    HistoryMessage,
    MessageStatus,
    Speaker,
)
from orchestrator.models.sessions.session import Session
from orchestrator.services.chat.messages import Admitted
from orchestrator.services.shared.paging import ALWAYS, Period
from tests.support.recorders.sessions import NOW, SessionRecorder

RATE = RateState(1000, 999, 0.4, 5.0)


@frozen
class Sent:
    """A message as it came in."""

    ctx: RequestContext
    session_id: str
    turn: ChatTurn


async def _tell_nothing(ctx: RequestContext, accepted: ChatAccepted) -> None:
    return None


@define
class ChatRecorder:
    """Takes messages in, notes them, and answers as it is told to."""

    sessions: SessionRecorder
    tell: Callable[[RequestContext, ChatAccepted], Awaitable[None]] = _tell_nothing
    """Tells of a message that was taken in, as the event log would."""
    sent: list[Sent] = field(factory=list)
    accepted: dict[str, ChatAccepted] = field(factory=dict)
    """By idempotency key."""
    status: Callable[[], MessageStatus] = lambda: MessageStatus.COMPLETED
    """How every turn stands."""
    refusal: Exception | None = None
    """What `send` raises."""
    answer: ChatAnswer | ChatAccepted | OrchestratorError | None = None
    """What `wait` returns or raises; None: the turn goes on."""

    async def send(
        self, ctx: RequestContext, session_id: str, turn: ChatTurn, *, deduplication_key: str | None = None
    ) -> Admitted:
        if self.refusal is not None:
            raise self.refusal
        await self.sessions.open(ctx, session_id)
        if ctx.idempotency_key in self.accepted:
            return Admitted(self.accepted[str(ctx.idempotency_key)], replayed=True, rate=None)
        self.sent.append(Sent(ctx, session_id, turn))
        accepted = ChatAccepted(new_id(), ctx.message_id or new_id(), session_id)
        if ctx.idempotency_key:
            self.accepted[ctx.idempotency_key] = accepted
        await self.tell(ctx, accepted)
        return Admitted(accepted, replayed=False, rate=RATE)

    async def standing(self, ctx: RequestContext, accepted: ChatAccepted) -> MessageStatus:
        return self.status()

    async def wait(self, ctx: RequestContext, accepted: ChatAccepted, timeout_ms: int) -> ChatAnswer | ChatAccepted:
        if isinstance(self.answer, OrchestratorError):
            raise self.answer
        return accepted if self.answer is None else self.answer

    async def cancel(self, ctx: RequestContext, message_id: str, request: ChatCancel | None = None) -> ChatCancelled:
        known = {"m1", *(accepted.message_id for accepted in self.accepted.values())}
        if message_id not in known:
            raise NotFound(f"There is no message {message_id}.")
        return ChatCancelled(message_id, cancelled=True)

    async def tool_result(self, ctx: RequestContext, session_id: str, result: ToolResult) -> None:
        raise NotFound(f"No turn waits for the tool call {result.tool_call_id}.")


@define
class TranscriptRecorder:
    """Knows of one message in every session."""

    sessions: SessionRecorder
    streamed: str = ""
    """What the running turn has said."""
    waits: frozenset[str] = frozenset()
    """What the running turn waits for."""
    begins: int | None = None
    """Where the events of the running turn begin."""
    messages: list[HistoryMessage] = field(factory=lambda: [HistoryMessage("m0", Speaker.USER, "hello", NOW)])

    async def history(
        self,
        ctx: RequestContext,
        session_id: str,
        *,
        before: str | None,
        after: str | None,
        limit: int,
        period: Period = ALWAYS,
        offset: int | None = None,
    ) -> Page[HistoryMessage]:
        await self.sessions.get(ctx, session_id)
        return Page(self.messages[:limit])

    async def recent(self, tenant_id: str, session_id: str, limit: int) -> list[HistoryMessage]:
        return self.messages[:limit]

    async def snapshot(self, session: Session) -> tuple[Snapshot, frozenset[str]]:
        said = [unstructure(message) for message in self.messages]
        return Snapshot(said, session.active_task_id, self.streamed), self.waits

    async def turn_begins(self, session: Session) -> int | None:
        return self.begins

    async def summary(self, ctx: RequestContext, session_id: str) -> ChatSummary:
        await self.sessions.get(ctx, session_id)
        return ChatSummary(session_id, len(self.messages))

    async def delete(self, ctx: RequestContext, message_id: str) -> ChatDeleted:
        return ChatDeleted(message_id, deleted=True)
