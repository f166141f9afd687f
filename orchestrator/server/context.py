"""What the parts of the server know of each other."""

from typing import Any, Protocol

from attrs import frozen
from hypercorn.config import Config
from hypercorn.events import Event
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper

from orchestrator.server.limits import Limits
from orchestrator.server.refusals import RefusalBody


@frozen
class ServerContext:
    """What the connections of a server share."""

    app: AppWrapper
    config: Config
    limits: Limits
    worker: WorkerContext
    state: dict[str, Any]
    """What the application left at its start; each request has a copy."""
    refusal_body: RefusalBody


class Transport(Protocol):
    """The connection beneath a protocol."""

    @property
    def ssl(self) -> bool:
        """Whether it is encrypted."""

    @property
    def client(self) -> tuple[str, int] | None:
        """Where it comes from; None: from a Unix socket."""

    @property
    def server(self) -> tuple[str, int] | None:
        """Where it was accepted."""

    async def protocol_send(self, event: Event) -> None:
        """Write bytes, close, or take note that the connection is idle or busy."""

    async def write(self, data: bytes) -> None:
        """Write bytes."""

    def write_now(self, data: bytes) -> bool:
        """Write bytes without waiting; returns false, and writes nothing, where that can't be."""

    def resume(self) -> None:
        """Let the reader call `HttpProtocol.resume`."""

    def end_within(self, seconds: float) -> None:
        """Close it where nothing has begun within so many seconds."""

    def abort(self) -> None:
        """Drop it at once, with what is still being written."""
