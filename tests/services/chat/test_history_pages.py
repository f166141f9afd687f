"""Pages of a conversation by moments and numbers, over a reader that knows messages alone."""

from types import SimpleNamespace
from typing import Any

import trio
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.common.call import CallContext
from orchestrator.models.common.page import Page
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.sessions.chat import HistoryMessage, Speaker
from orchestrator.services.chat.history_pages import HistoryChoice, chosen_page
from orchestrator.services.chat.transcripts import Transcripts
from orchestrator.services.shared.paging import SCAN_BOUND, Period
from tests.queue.stage import context

AT_ONCE = 7
"""So many messages the reader gives at once."""


class Conversation:
    """So many messages, one a second."""

    def __init__(self, count: int) -> None:
        self.said = [
            HistoryMessage(f"m{number}", Speaker.USER, str(number), to_timestamp(number * 1000))
            for number in range(count)
        ]
        self.reads = 0

    async def read(self, before: str | None) -> Page[HistoryMessage]:
        """Return the last messages before another one."""
        self.reads += 1
        end = len(self.said) if before is None else int(before[1:])
        start = max(0, end - AT_ONCE)
        return Page(self.said[start:end], f"m{start}" if start else None)

    async def page(self, choice: HistoryChoice) -> Page[HistoryMessage]:
        """Return a page."""
        return await chosen_page(self.read, choice)


def numbers(page: Page[HistoryMessage]) -> list[int]:
    """The messages of a page."""
    return [int(message.content) for message in page.items]


def at(second: int) -> str:
    """A moment."""
    return to_timestamp(second * 1000)


@given(count=st.integers(0, 60), since=st.integers(0, 60), until=st.integers(0, 60), limit=st.integers(1, 20))
async def test_a_period_is_read_from_its_end_page_by_page(count: int, since: int, until: int, limit: int) -> None:
    talk, period = Conversation(count), Period(at(since), at(until))
    found: list[int] = []
    before = None
    while True:
        page = await talk.page(HistoryChoice(before, None, limit, period))
        found = numbers(page) + found
        before = page.next_cursor
        if before is None:
            break
    assert found == list(range(since, min(until, count)))


@given(count=st.integers(0, 60), since=st.integers(0, 60), limit=st.integers(1, 20))
async def test_what_follows_a_moment_is_read_from_there_on(count: int, since: int, limit: int) -> None:
    talk, period = Conversation(count), Period(at(since), None)
    found: list[int] = []
    after = None
    while True:
        page = await talk.page(HistoryChoice(None, after, limit, period))
        found += numbers(page)
        after = page.next_cursor
        if after is None:
            break
    assert found == list(range(since, count))


@given(count=st.integers(0, 60), offset=st.integers(0, 70), limit=st.integers(1, 20))
async def test_an_offset_counts_from_the_newest_message(count: int, offset: int, limit: int) -> None:
    page = await Conversation(count).page(HistoryChoice(None, None, limit, offset=offset))
    end = max(0, count - offset)
    assert (numbers(page), page.total) == (list(range(count))[max(0, end - limit) : end], count)


async def test_a_long_conversation_is_not_read_to_its_beginning() -> None:
    talk = Conversation(3 * SCAN_BOUND)
    page = await talk.page(HistoryChoice(None, None, 5, offset=10))
    assert (page.total, numbers(page)[-1]) == (None, 3 * SCAN_BOUND - 11)
    assert talk.reads <= SCAN_BOUND / AT_ONCE + 1
    talk.reads = 0
    await talk.page(HistoryChoice(None, None, 5, Period(None, at(3 * SCAN_BOUND))))
    assert talk.reads == 1


async def test_all_reads_of_a_history_share_one_deadline() -> None:
    deadlines: list[float] = []

    async def one_by_one(call: CallContext, *_: Any, **__: Any) -> Page[HistoryMessage]:
        deadlines.append(call.deadline)
        await trio.lowlevel.checkpoint()
        name = f"m{len(deadlines)}"
        return Page([HistoryMessage(name, Speaker.USER, "", at(0))], name)

    async def session(*_: Any) -> Any:
        return SimpleNamespace(tenant_id="acme", session_id="s1", conversation_id="c1")

    sessions: Any = SimpleNamespace(get=session)
    conversations: Any = SimpleNamespace(messages=one_by_one)
    nothing: Any = None
    talks = Transcripts(nothing, sessions, conversations, nothing)
    await talks.history(context(), "s1", before="m0", after=None, limit=1, offset=0)
    assert len(deadlines) == SCAN_BOUND
    assert len({*deadlines}) == 1
