"""Streamed answers of Query, passed through."""

from typing import Any

import structlog
import trio

from orchestrator.clients.transport.answers import ServiceAnswer, parse_json
from orchestrator.clients.transport.json_texts import JsonTexts
from orchestrator.clients.transport.responses import MAX_LINE_BYTES, Pieces, too_large
from orchestrator.errors import BadGateway, ServiceFault

_log = structlog.get_logger("orchestrator.services.gateway.gateway")


class GatewayStream:
    """Passes pieces on, and reads the usage in them.

    Args:
        pieces: of the service.
        keep_bytes: size up to which the stream is collected for the cache; 0: it is not.
    """

    def __init__(self, pieces: Pieces, keep_bytes: int = 0) -> None:
        self._pieces = pieces
        self._texts = JsonTexts()
        self._over = False
        self._kept: list[bytes] | None = [] if keep_bytes else None
        self._room = keep_bytes
        self.failure: ServiceFault | None = None
        """The error that broke the stream."""
        self.metadata: dict[str, Any] | None = None
        """The last `metadata` with `token_usage`."""

    @property
    def whole(self) -> bytes | None:
        """The whole stream, where it was collected and is complete."""
        ended_well = self._over and self.failure is None and self.metadata is not None
        return b"".join(self._kept) if ended_well and self._kept is not None else None

    @property
    def usage(self) -> ServiceAnswer | None:
        """The metadata with the usage; None: the stream broke before."""
        return None if self.metadata is None else ServiceAnswer("query", {"metadata": self.metadata})

    async def receive(self) -> bytes | None:
        """Return the next piece, as the service sent it; None at the end.

        Raises:
            BadGateway: the stream ends without usage: it was cut off.
            InvalidAnswer: the stream is malformed.
            CallTimeout, ConnectionBroken: the stream broke.
        """
        # A reader that disconnects during a read must not break the stream, which is drained afterwards.
        with trio.CancelScope(shield=True):
            piece = await self._next()
        await trio.lowlevel.checkpoint_if_cancelled()
        return piece

    async def drain(self) -> None:
        """Read the rest of the stream, for its usage."""
        try:
            while not self._over:
                await self._next()
        except ServiceFault as error:
            _log.warning("stream not drained", reason=error.message)

    async def _next(self) -> bytes | None:
        try:
            return await self._take()
        except ServiceFault as error:
            self._over = True
            self.failure = error
            raise

    async def _take(self) -> bytes | None:
        piece = await self._pieces.receive()
        texts = self._texts.end() if piece is None else self._texts.feed(piece)
        if len(self._texts.rest) + self._texts.held > MAX_LINE_BYTES:
            raise too_large(self._pieces.service)
        for text, _ in texts:
            self._note(text)
        self._keep(piece or b"")
        self._over = piece is None
        if self._over and self.metadata is None:
            raise BadGateway("Query ended its stream before it was complete.", service=self._pieces.service)
        return piece

    def _keep(self, piece: bytes) -> None:
        self._room -= len(piece)
        if self._kept is not None:
            self._kept.append(piece)
            if self._room < 0:
                self._kept = None

    def _note(self, text: bytes) -> None:
        chunk = parse_json(self._pieces.service, text, "streamed")
        metadata = chunk.get("metadata") if isinstance(chunk, dict) else None
        if isinstance(metadata, dict) and isinstance(metadata.get("token_usage"), dict):
            self.metadata = metadata


class CachedPieces:
    """A cached stream, in one piece."""

    service = "query"
    framed = True

    def __init__(self, whole: bytes) -> None:
        self._left: bytes | None = whole

    async def receive(self) -> bytes | None:
        """Return the whole, then None."""
        piece, self._left = self._left, None
        await trio.lowlevel.checkpoint()
        return piece
