"""Streamed answers: pieces of bytes, and lines of JSON."""

from typing import Final, Protocol

from attrs import evolve

from orchestrator.clients.transport.answers import ServiceAnswer, as_answer, parse_halves, title
from orchestrator.clients.transport.json_texts import JsonTexts, Text
from orchestrator.errors import BadGateway, InvalidAnswer

MAX_STREAM_BYTES: Final = 64 * 2**20
MAX_LINE_BYTES: Final = 2**20
MAX_DOCUMENT_BYTES: Final = 8 * 2**20
"""Of JSON that is written over many lines."""


class Pieces(Protocol):
    """Pieces of a streamed answer."""

    @property
    def service(self) -> str:
        """Name of the service that answers."""

    @property
    def framed(self) -> bool:
        """Whether an answer that was cut off looks different from one that has ended."""

    async def receive(self) -> bytes | None:
        """Return the next piece; None at the end.

        Raises:
            CallTimeout: no piece came in time, or the deadline has passed.
            ServiceUnreachable: the connection broke.
            BadGateway: the answer was cut off.
            InvalidAnswer: it is too large.
        """


class Lines:
    """A stream of JSON objects, in the batches in which they arrive.

    Each stands in a line of its own, over many lines, in a list, or is the data of a server-sent event, whose name is
    then the object's `type` where it has none. Texts may have half characters where `ServiceAnswer.halves` says so.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._texts = JsonTexts()

    async def receive(self) -> list[ServiceAnswer] | None:
        """Return the next objects, at least one; None at the end.

        Raises:
            BadGateway: the last line was cut off, where the answer is not framed.
            InvalidAnswer: a text is no JSON object or too long; and what `Pieces.receive` raises.
        """
        while True:
            piece = await self._pieces.receive()
            if piece is None:
                return self._parse_last() or None
            texts = self._texts.feed(piece)
            if len(self._texts.rest) > MAX_LINE_BYTES or self._texts.held > MAX_DOCUMENT_BYTES:
                raise too_large(self._pieces.service)
            batch = [answer for text in texts for answer in self._parse(text)]
            if batch:
                return batch

    def _parse_last(self) -> list[ServiceAnswer]:
        try:
            return [answer for text in self._texts.end() for answer in self._parse(text)]
        except InvalidAnswer:
            if self._pieces.framed:
                raise
        service = self._pieces.service
        raise BadGateway(f"{title(service)} broke its answer off.", service=service)

    def _parse(self, text: Text) -> list[ServiceAnswer]:
        raw, event = text
        service = self._pieces.service
        value, halves = parse_halves(service, raw, "streamed")
        answers = [as_answer(service, each) for each in (value if isinstance(value, list) else [value])]
        if event:
            answers = [evolve(answer, fields={"type": event} | answer.fields) for answer in answers]
        return [evolve(answer, halves=True) for answer in answers] if halves else answers


def too_large(service: str) -> InvalidAnswer:
    """Return the error for an answer that exceeds a bound."""
    return InvalidAnswer(f"{title(service)} answered more than is taken.", service=service)
