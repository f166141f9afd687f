"""Transcripts: what was said in a session, as its people read it, and take it back."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from attrs import frozen

from orchestrator.codec import decode_kept, encode, structure_kept, unstructure
from orchestrator.config.settings import AgentOrchestratorSettings
from orchestrator.errors import NotFound, ServiceFault, TenantDamaged
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.events.events import Snapshot
from orchestrator.models.sessions.chat import ChatDeleted, ChatSummary, HistoryMessage, Speaker
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.chat.conversations import Conversations
from orchestrator.services.chat.history_pages import AT_ONCE, HistoryChoice, chosen_page
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.call_contexts import call_for
from orchestrator.services.shared.paging import ALWAYS, Period
from orchestrator.services.shared.views import viewer_of
from orchestrator.store.tasks.task_records import OpenTurns
from orchestrator.store.tasks.tasks import TaskStore

MOST_QUESTIONS: Final = 20
"""Questions of turns that have not ended; of more turns the last ones are not shown."""
SNAPSHOT_BYTES: Final = 262_144
_SAID: Final = ("message_id", "content", "content_type", "metadata")
"""What of a turn's payload its question is."""
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
        """Return messages of a conversation, oldest first.

        Args:
            ctx: the request.
            session_id: whose conversation.
            before: only messages before this one.
            after: only messages after this one.
            limit: how many; the latest ones, unless `after` or the period's `since` is given alone.
            period: only messages that were said then.
            offset: how many of the latest to leave out; the others are counted then.

        Raises:
            NotFound: there is no such session.
        """
        session = await self.sessions.get(ctx, session_id)
        choice = HistoryChoice(before, after, limit, period, offset)
        if not choice.is_plain:
            # However many pages the service makes of it, they share one deadline.
            call = call_for(ctx, LOOKUP_SECONDS)
            return await chosen_page(partial(self._before, call, session), choice)
        if session.conversation_id is None:
            return Page(await self.recent(ctx.tenant_id, session_id, limit))
        try:
            call = call_for(ctx, LOOKUP_SECONDS)
            page = await self.conversations.messages(
                call, session.conversation_id, before=before, after=after, limit=limit
            )
            if before is not None or page.next_cursor is not None:
                return page
            said = _with_questions(page.items, await self._open_turns(session))
            return Page(said[-limit:] if after is None else said[:limit])
        except ServiceFault:
            # The Conversation service is away: what is kept here still shows the end of the conversation.
            if before is not None or after is not None:
                raise
            return Page(await self.recent(ctx.tenant_id, session_id, limit))

    async def _before(self, call: CallContext, session: Session, before: str | None) -> Page[HistoryMessage]:
        """Return many messages before another one; None: the last ones, with the questions of open turns."""
        if session.conversation_id is None:
            said = await self.recent(session.tenant_id, session.session_id, AT_ONCE)
            known = [message.message_id for message in said]
            return Page(said[: known.index(before)] if before in known else said)
        page = await self.conversations.messages(
            call, session.conversation_id, before=before, after=None, limit=AT_ONCE
        )
        if before is not None:
            return page
        return Page(_with_questions(page.items, await self._open_turns(session)), page.next_cursor)

    async def recent(self, tenant_id: str, session_id: str, limit: int) -> list[HistoryMessage]:
        """Return the last messages that are kept here, oldest first; behind them the questions of open turns."""
        kept = await self.tasks.history(tenant_id, session_id, limit)
        open_turns = await self.tasks.open_turns(tenant_id, session_id, MOST_QUESTIONS)
        return _with_questions(kept, open_turns)[-limit:]

    async def snapshot(self, session: Session) -> tuple[Snapshot, frozenset[str]]:
        """Return what a follower needs that has no events to go on from, and the calls that the running turn waits for.

        The tools that the client is to run are left to the reader of the event log.
        """
        limit = self.settings.history_length
        kept = await self.tasks.history(session.tenant_id, session.session_id, limit)
        open_turns = await self.tasks.open_turns(session.tenant_id, session.session_id, MOST_QUESTIONS)
        said = _with_questions(kept, open_turns)[-limit:]
        messages = [unstructure(message) for message in _within(said, SNAPSHOT_BYTES)]
        return Snapshot(messages, session.active_task_id, open_turns.text[-SNAPSHOT_BYTES:]), open_turns.waits

    async def turn_begins(self, session: Session) -> int | None:
        """Return the offset before the first event of the running turn; None: there is none, or it is unknown."""
        return (await self._open_turns(session, 1)).log_from

    async def _open_turns(self, session: Session, count: int = MOST_QUESTIONS) -> OpenTurns:
        return await self.tasks.open_turns(session.tenant_id, session.session_id, count)

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
        session, place = await self._place(ctx, message_id)
        if session.conversation_id is None:
            raise _message_not_found(message_id)
        await self.conversations.delete(call_for(ctx, LOOKUP_SECONDS), session.conversation_id, message_id)
        await self.tasks.forget_message(ctx.tenant_id, session.session_id, message_id, place["user_id"])
        return ChatDeleted(message_id, deleted=True)

    async def place_of(self, ctx: RequestContext, message_id: str) -> tuple[Session, str]:
        """Return the session and the task of a user's message.

        Raises:
            NotFound: there is no such message that the caller may see.
        """
        session, place = await self._place(ctx, message_id)
        return session, place["task_id"]

    async def _place(self, ctx: RequestContext, message_id: str) -> tuple[Session, dict[str, str]]:
        place = await self.tasks.of_message(viewer_of(ctx), message_id)
        try:
            # Of an unknown message too: how long it takes must not tell whether another user has it.
            return await self.sessions.get(ctx, place.get("session_id", "")), place
        except NotFound:
            raise _message_not_found(message_id) from None


def _with_questions(said: Sequence[HistoryMessage], turns: OpenTurns) -> list[HistoryMessage]:
    """Add the questions of turns that have not ended: they are part of the conversation from their acceptance on."""
    known = {message.message_id for message in said}
    return [*said, *(question for question in _questions(turns) if question.message_id not in known)]


def _questions(turns: OpenTurns) -> Iterator[HistoryMessage]:
    for raw in turns.messages:
        with suppress(TenantDamaged):  # what can't be read is told where its task is claimed
            message = decode_kept(raw, TaskMessage)
            said = {name: message.payload[name] for name in _SAID if message.payload.get(name) is not None}
            yield structure_kept({**said, "role": Speaker.USER, "created_at": message.created_at}, HistoryMessage)


def _within(messages: Sequence[HistoryMessage], size: int) -> list[HistoryMessage]:
    """Return the last messages that have no more than `size` bytes together, and the last one in any case."""
    kept: list[HistoryMessage] = []
    for message in reversed(messages):
        size -= len(encode(message))
        if size < 0 and kept:
            break
        kept.append(message)
    return kept[::-1]


def _message_not_found(message_id: str) -> NotFound:
    return NotFound(f"There is no message {message_id}.")
