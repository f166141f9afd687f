"""An agent's words on their way to the log: how they are joined where many answers are said at once."""

from typing import Any, cast

import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from orchestrator.clients.agent_execution import AgentStream
from orchestrator.domain.joining import LONGEST_SECONDS, Speaking
from orchestrator.models.agents.agent import AgentPiece, AgentResponse, AgentToken
from orchestrator.models.events.events import ChatStream, StreamContent
from orchestrator.services.chat.turn_stream import TurnStream
from orchestrator.services.plans.attempt import Attempt

EVERY = 0.02
WORDS = 30


@define
class Rhythm:
    """Says a word at a time; a read takes all that has been said by then."""

    said: list[AgentPiece] = field(factory=list)
    more: trio.Event = field(factory=trio.Event)
    reads: int = 0

    async def speak(self) -> None:
        for number in range(WORDS):
            self._say(AgentToken(f"{trio.current_time()} ", StreamContent.RESPONSE, is_last=number == WORDS - 1))
            await trio.sleep(EVERY)
        self._say(AgentResponse("all of it"))

    def _say(self, piece: AgentPiece) -> None:
        self.said.append(piece)
        self.more.set()

    async def receive(self) -> list[AgentPiece]:
        await self.more.wait()
        self.reads += 1
        said, self.said, self.more = self.said, [], trio.Event()
        return said

    async def finish(self) -> None:
        await trio.lowlevel.checkpoint()


@define
class Log:
    """Keeps what is emitted, with its moment."""

    message: Any
    attempt: int = 1
    events: list[tuple[float, ChatStream]] = field(factory=list)

    async def emit(self, _: str, data: ChatStream) -> None:
        self.events.append((trio.current_time(), data))
        await trio.lowlevel.checkpoint()


class _Message:
    payload = {"message_id": "m1"}  # noqa: RUF012 - never changed


async def relayed(others: int) -> tuple[Log, Rhythm, Speaking]:
    speaking, log, rhythm, announced = Speaking(others), Log(_Message()), Rhythm(), trio.Event()
    announced.set()
    stream = TurnStream(cast("Attempt", log), announced, text="", sequence=0, broken=False, speaking=speaking)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rhythm.speak)
        assert isinstance(await stream.relay(cast("AgentStream", rhythm)), AgentResponse)
    return log, rhythm, speaking


def lateness(log: Log) -> list[float]:
    """Return how late each word was, but for those of the final event, which has waited for the end of the stream."""
    return [moment - float(word) for moment, event in log.events[:-1] for word in event.chunk.split()]


async def test_where_few_speak_each_word_is_passed_on_as_it_comes(autojump_clock: MockClock) -> None:
    log, _, _ = await relayed(others=0)
    assert len(log.events) == WORDS
    assert max(lateness(log)) == 0


@pytest.mark.parametrize("others", [49, 5000])
async def test_where_many_speak_words_are_joined_and_none_is_late(others: int, autojump_clock: MockClock) -> None:
    log, rhythm, _ = await relayed(others)
    assert "".join(event.chunk for _, event in log.events).count(" ") == WORDS
    assert len(log.events) <= WORDS * EVERY / LONGEST_SECONDS + 3
    assert rhythm.reads <= WORDS * EVERY / LONGEST_SECONDS + 3
    late = lateness(log)
    assert late[0] == 0, "the first word waits for nothing"
    assert max(late) <= LONGEST_SECONDS + 1e-9
    assert [event.sequence_number for _, event in log.events] == list(range(1, len(log.events) + 1))
    assert [event.is_final for _, event in log.events] == [False] * (len(log.events) - 1) + [True]


async def test_an_answer_counts_while_it_is_said(autojump_clock: MockClock) -> None:
    _, _, speaking = await relayed(others=3)
    assert speaking.count == 3
