"""Streamed answers: pieces of bytes, and lines of JSON."""

from typing import Final, Protocol

from attrs import evolve

from orchestrator.clients.transport.answers import ServiceAnswer, as_answer, parse_halves, title
from orchestrator.errors import BadGateway, InvalidAnswer

MAX_STREAM_BYTES: Final = 64 * 2**20
MAX_LINE_BYTES: Final = 2**20


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
    """A stream of newline-delimited JSON objects, in the batches in which they arrive.

    Their texts may have half characters where `ServiceAnswer.halves` says so.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._rest = b""

    async def receive(self) -> list[ServiceAnswer] | None:
        """Return the next objects, at least one; None at the end.

        Raises:
            BadGateway: the last line was cut off, where the answer is not framed.
            InvalidAnswer: a line is no JSON object or too long; and what `Pieces.receive` raises.
        """
        while True:
            piece = await self._pieces.receive()
            if piece is None:
                last, self._rest = self._rest, b""
                return [self._parse_last(last)] if last.strip() else None
            *lines, self._rest = (self._rest + piece).split(b"\n")
            if len(self._rest) > MAX_LINE_BYTES:
                raise too_large(self._pieces.service)
            batch = [self._parse(line) for line in lines if line.strip()]
            if batch:
                return batch

    def _parse_last(self, line: bytes) -> ServiceAnswer:
        try:
            return self._parse(line)
        except InvalidAnswer:
            if self._pieces.framed:
                raise
        service = self._pieces.service
        raise BadGateway(f"{title(service)} broke its answer off.", service=service)

    def _parse(self, line: bytes) -> ServiceAnswer:
        service = self._pieces.service
        value, halves = parse_halves(service, line, "streamed")
        answer = as_answer(service, value)
        return evolve(answer, halves=True) if halves else answer


def too_large(service: str) -> InvalidAnswer:
    """Return the error for an answer that exceeds a bound."""
    return InvalidAnswer(f"{title(service)} answered more than is taken.", service=service)
