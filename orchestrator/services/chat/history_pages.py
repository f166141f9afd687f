"""Pages of a conversation by moments, and by how many messages come after them.

The Conversation service finds messages by other messages alone: what is of a period is looked for from the newest on.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from attrs import frozen

from orchestrator.models.common.page import Page
from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.services.shared.paging import ALWAYS, SCAN_BOUND, Period

AT_ONCE: Final = 200
"""Messages that are read together."""
Read = Callable[[str | None], Awaitable[Page[HistoryMessage]]]
"""Reads the last messages before another one, oldest first; None: the last ones of all."""


@frozen
class HistoryChoice:
    """Which messages of a conversation."""

    before: str | None = None
    """Those before this message."""
    after: str | None = None
    """Those after this message."""
    limit: int = 20
    period: Period = ALWAYS
    offset: int | None = None
    """How many of the newest to leave out; the others are counted then."""

    @property
    def is_plain(self) -> bool:
        """Tell whether the Conversation service itself can choose them."""
        return self.offset is None and self.period == ALWAYS

    @property
    def begins(self) -> bool:
        """Tell whether the first messages are wanted, not the last ones."""
        forward = self.after is not None or self.period.since is not None
        return forward and self.before is None and self.period.until is None


async def chosen_page(read: Read, choice: HistoryChoice) -> Page[HistoryMessage]:
    """Read a page of a conversation, oldest message first.

    Args:
        read: reads the conversation.
        choice: which messages; of more than `SCAN_BOUND` the newest ones alone are looked at.

    Returns:
        The page; its cursor is the message to go on from: with `after` where that or `since` alone was given, else
        with `before`.
    """
    found, whole = await _walk(read, choice)
    skipped = choice.offset or 0
    if choice.begins:
        page = found[skipped : skipped + choice.limit]
        cursor = page[-1].message_id if len(found) > skipped + choice.limit else None
    else:
        end = max(0, len(found) - skipped)
        start = max(0, end - choice.limit)
        page = found[start:end]
        cursor = page[0].message_id if page and (start > 0 or not whole) else None
    return Page(page, cursor, len(found) if whole and choice.offset is not None else None)


async def _walk(read: Read, choice: HistoryChoice) -> tuple[list[HistoryMessage], bool]:
    """Return the messages that are chosen, oldest first, and whether there are no others."""
    oldest, newest = (
        None if text is None else from_timestamp(text) for text in (choice.period.since, choice.period.until)
    )
    found: list[HistoryMessage] = []
    before, looked = choice.before, 0
    while looked < SCAN_BOUND:
        page = await read(before)
        looked += len(page.items)
        for message in reversed(page.items):
            if message.message_id == choice.after or (oldest is not None and _moment(message) < oldest):
                return found[::-1], True
            if newest is None or _moment(message) < newest:
                found.append(message)
        if page.next_cursor is None or not page.items:
            return found[::-1], True
        if choice.offset is None and not choice.begins and len(found) > choice.limit:
            return found[::-1], False
        before = page.next_cursor
    return found[::-1], False


def _moment(message: HistoryMessage) -> int:
    try:
        return from_timestamp(message.created_at)
    except ValueError:
        return 0
