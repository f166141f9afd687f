"""An agent's words on their way to the event log: joined, numbered, and started over where that must be."""

import math
from typing import Final

import trio

from orchestrator.clients.agent_execution import AgentStream
from orchestrator.domain.joining import Speaking
from orchestrator.models.agents.agent import AgentOutcome, AgentPiece, AgentResponse, AgentStatus, AgentToken
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.events.events import ChatStatusUpdate, ChatStream, ChatStreamReset, StreamContent
from orchestrator.models.sessions.chat import MessageStatus
from orchestrator.services.plans.attempt import Attempt
from orchestrator.services.shared.nursery import open_joined_nursery

JOIN_SECONDS: Final = 0.005
"""Pieces that come within this time after an event are joined into the next one; see also `domain.joining`."""
CHUNK_CHARACTERS: Final = 32_768
"""An event of so much text is sent before more is joined to it."""
HOLD_SECONDS: Final = 0.05
"""How long an agent's last words wait for the end of its stream, to be sent as the final event."""
BATCHES: Final = 16
"""Batches that may wait for the log (64 KiB each at most); then the agent's stream is not read further."""


class TurnStream:
    """Relays the streams of one turn, leg by leg: a leg ends with the answer, with the request for a tool,
    or with the word that the answer comes later.

    Args:
        run: whose log is written.
        announced: set when the turn's first event is in the log; nothing is streamed before.
        text: what earlier legs, in an earlier attempt, have said.
        sequence: the number of the last event of theirs.
        broken: whether an earlier attempt may have streamed more than that.
        speaking: the answers of the process; the more they are, the more of each is passed on together.
    """

    def __init__(
        self, run: Attempt, announced: trio.Event, *, text: str, sequence: int, broken: bool, speaking: Speaking
    ) -> None:
        self._run = run
        self._speaking = speaking
        self._message_id = run.message.payload["message_id"]
        self._announced = announced
        self.text = text
        self.sequence = sequence
        self._kept = text
        self._dirty = broken
        self._pending: list[tuple[StreamContent, list[str]]] = []
        self._size = 0
        self._closing = False
        self._status: AgentStatus | None = None
        """What the agent has said last of its work, until it is told."""

    async def relay(self, stream: AgentStream) -> AgentOutcome:
        """Stream one leg, and return what it ended with.

        Where an earlier try of the leg, or an earlier attempt, has streamed something, the answer starts over first.

        Raises:
            OrchestratorError: the stream broke; the leg may be tried again.
            FencedOut: another worker has taken the turn over.
        """
        await self._announced.wait()
        if self._dirty:
            await self._start_over()
        send, receive = trio.open_memory_channel[list[AgentPiece]](BATCHES)
        async with open_joined_nursery() as nursery:
            nursery.start_soon(self._read, stream, send)
            outcome = await self._write(receive)
        self._kept = self.text
        self._dirty = False
        return outcome

    async def tell(self, outcome: AgentResponse) -> None:
        """Stream an answer that came as a whole, later than its stream would have."""
        await self._announced.wait()
        if self._dirty:
            await self._start_over()
        await self._flush(outcome)
        self._kept = self.text
        self._dirty = False

    async def _start_over(self) -> None:
        """Take back what broken tries have streamed, and say again what finished legs have said."""
        self._pending.clear()
        self._size, self._closing, self.sequence, self.text = 0, False, 0, ""
        await self._run.emit("chat.stream_reset", ChatStreamReset(self._message_id, self._run.attempt))
        self._dirty = False
        if self._kept:
            await self._emit(StreamContent.RESPONSE, self._kept, is_final=False)
            self._dirty = False

    async def _read(self, stream: AgentStream, send: trio.MemorySendChannel[list[AgentPiece]]) -> None:
        """Read the stream, and pause after each batch, so that what comes meanwhile is read at once."""
        speaking = self._speaking
        speaking.count += 1
        try:
            ended = False
            while not ended:
                batch = await stream.receive()
                ended = any(isinstance(piece, AgentOutcome) for piece in batch)
                try:
                    send.send_nowait(batch)
                except trio.WouldBlock:
                    await send.send(batch)
                if (pause := speaking.pause) and not ended and not _is_last(batch):
                    await trio.sleep(pause)
        finally:
            speaking.count -= 1
        await stream.finish()

    async def _write(self, batches: trio.MemoryReceiveChannel[list[AgentPiece]]) -> AgentOutcome:
        earliest = -math.inf
        outcome = None
        while outcome is None:
            if self._closing:
                with trio.move_on_after(HOLD_SECONDS) as patience:
                    outcome = self._take(await batches.receive())
                if patience.cancelled_caught:
                    self._closing = False
            else:
                outcome = self._take(await batches.receive())
            outcome = outcome or await self._join(batches, earliest)
            if self._status is not None:
                await self._tell_status(self._status)
            earliest = trio.current_time() + JOIN_SECONDS
            await self._flush(outcome)
        return outcome

    async def _join(self, batches: trio.MemoryReceiveChannel[list[AgentPiece]], earliest: float) -> AgentOutcome | None:
        """Add what has come since the last event began to be appended, and what comes until `earliest`."""
        outcome = None
        while outcome is None and self._size < CHUNK_CHARACTERS:
            try:
                outcome = self._take(batches.receive_nowait())
            except trio.WouldBlock:
                if trio.current_time() >= earliest:
                    break
                with trio.move_on_at(earliest):
                    outcome = self._take(await batches.receive())
        return outcome

    def _take(self, batch: list[AgentPiece]) -> AgentOutcome | None:
        for piece in batch:
            if isinstance(piece, AgentOutcome):
                return piece
            if isinstance(piece, AgentToken):
                self._closing = piece.is_last
                if piece.text:
                    self._add(piece.content_type, piece.text)
            elif piece.progress is not None or piece.detail is not None:
                self._status = piece
        return None

    async def _tell_status(self, status: AgentStatus) -> None:
        self._status = None
        until = None
        if status.seconds_left is not None:
            until = to_timestamp(now_ms() + round(status.seconds_left * 1000))
        update = ChatStatusUpdate(
            self._message_id,
            self._run.message.task_id,
            MessageStatus.PROCESSING,
            status.progress,
            message=status.detail,
            estimated_completion_time=until,
        )
        await self._run.emit("chat.status_update", update)

    def _add(self, content_type: StreamContent, text: str) -> None:
        if not self._pending or self._pending[-1][0] is not content_type:
            self._pending.append((content_type, []))
        self._pending[-1][1].append(text)
        self._size += len(text)

    async def _flush(self, outcome: AgentOutcome | None) -> None:
        """Append what is pending; the agent's last words wait for the outcome, to carry `is_final`."""
        if isinstance(outcome, AgentResponse):
            self._complete(outcome)
        until = len(self._pending) - (outcome is None and self._closing)
        for index in range(until):
            content_type, texts = self._pending[index]
            is_final = isinstance(outcome, AgentResponse) and index == until - 1
            await self._emit(content_type, "".join(texts), is_final=is_final)
        del self._pending[:until]
        self._size = sum(len(text) for _, texts in self._pending for text in texts)

    def _complete(self, outcome: AgentResponse) -> None:
        """See to it that the last piece is one of the response, and that an unstreamed one is streamed after all."""
        said = self.text or any(kind is StreamContent.RESPONSE for kind, _ in self._pending)
        if not said:
            self._add(StreamContent.RESPONSE, outcome.response)
        elif not self._pending or self._pending[-1][0] is StreamContent.THINKING:
            self._add(StreamContent.RESPONSE, "")

    async def _emit(self, content_type: StreamContent, text: str, *, is_final: bool) -> None:
        self._dirty = True
        self.sequence += 1
        if content_type is StreamContent.RESPONSE:
            self.text += text
        await self._run.emit("chat.stream", ChatStream(self._message_id, self.sequence, text, content_type, is_final))


def _is_last(batch: list[AgentPiece]) -> bool:
    """Tell whether nothing but the end of the stream is to follow."""
    piece = batch[-1]
    return isinstance(piece, AgentToken) and piece.is_last
