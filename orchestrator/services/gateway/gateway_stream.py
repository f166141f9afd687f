"""A streamed answer of Query on its way through."""

from typing import Any, Protocol

import orjson
import structlog
import trio

from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.clients.transport.responses import MAX_LINE_BYTES, too_large
from orchestrator.errors import BadGateway, ServiceFault

_log = structlog.get_logger("orchestrator.services.gateway.gateway")


class Source(Protocol):
    """Where the pieces come from."""

    @property
    def service(self) -> str:
        """Who answers."""

    async def receive(self) -> bytes | None:
        """Return the next piece; None at the end."""


class GatewayStream:
    """Hands every piece on as it comes, and reads it along for what the call has spent.

    Args:
        pieces: where they come from.
        keep_bytes: how much of it is kept to be given again; what is longer is not kept.
    """

    def __init__(self, pieces: Source, keep_bytes: int = 0) -> None:
        self._pieces = pieces
        self._rest = b""
        self._over = False
        self._kept: list[bytes] | None = [] if keep_bytes else None
        self._room = keep_bytes
        self.failure: str | None = None
        """The code of the error that broke the stream."""
        self.metadata: dict[str, Any] | None = None
        """The last `metadata` with `token_usage`."""

    @property
    def whole(self) -> bytes | None:
        """The whole of it, where it ended well and was to be kept."""
        ended_well = self._over and self.failure is None and self.metadata is not None
        return b"".join(self._kept) if ended_well and self._kept is not None else None

    @property
    def usage(self) -> ServiceAnswer | None:
        """What the stream says of what it has spent; None: it broke before it did."""
        return None if self.metadata is None else ServiceAnswer("query", {"metadata": self.metadata})

    async def receive(self) -> bytes | None:
        """Return the next piece, as the service sent it; None at the end.

        Raises:
            BadGateway: the stream is malformed, or ends without its usage: it was cut.
            CallTimeout, ServiceUnreachable: it broke.
        """
        # A reader that goes away while a piece is on its way must not break the stream: it is still to be drained.
        with trio.CancelScope(shield=True):
            piece = await self._next()
        await trio.lowlevel.checkpoint_if_cancelled()
        return piece

    async def drain(self) -> None:
        """Read what nobody waits for any more, for its usage."""
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
            self.failure = error.code
            raise

    async def _take(self) -> bytes | None:
        piece = await self._pieces.receive()
        *lines, self._rest = (self._rest + (piece or b"\n")).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise too_large(self._pieces.service)
        for line in lines:
            self._note(line)
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

    def _note(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            chunk = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise BadGateway("Query streamed something else than JSON.", service=self._pieces.service) from None
        metadata = chunk.get("metadata") if isinstance(chunk, dict) else None
        if isinstance(metadata, dict) and isinstance(metadata.get("token_usage"), dict):
            self.metadata = metadata


class KeptPieces:
    """A stream that was kept: all of it in one piece."""

    service = "query"

    def __init__(self, whole: bytes) -> None:
        self._left: bytes | None = whole

    async def receive(self) -> bytes | None:
        """Return it, then None."""
        piece, self._left = self._left, None
        await trio.lowlevel.checkpoint()
        return piece
