"""What the handlers of a socket's frames know of the socket."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from orchestrator.errors import OrchestratorError
from orchestrator.models.common.principal import Principal, RequestContext
from orchestrator.services.container import Services
from orchestrator.store.events.events import EventLog


@frozen
class Sync:
    """From where to send again, and who asks."""

    last_offset: int
    """The last one that the client has."""
    epoch: str
    """Of that offset."""
    ctx: RequestContext
    """The frame that asks for it."""
    then: Sequence[tuple[str, object]] = ()
    """Events (name, data) for this client alone, to be sent behind what was missed."""


class Peer(Protocol):
    """The client at the other end of an open socket."""

    services: Services
    session_id: str
    """The session that is followed, or the name of what is followed instead."""
    principal: Principal
    """The holder of the socket's latest token."""
    remote_address: str

    @property
    def opened_by(self) -> Principal:
        """The holder of the token with which the socket was opened."""

    @property
    def log(self) -> EventLog:
        """Where the events are that are followed."""

    @property
    def converses(self) -> bool:
        """Whether the socket follows a session, which takes messages."""

    @property
    def task_id(self) -> str | None:
        """The task of the followed workflow; None where a session is followed."""

    def renew(self, principal: Principal) -> None:
        """Continue with a new token of the same user."""

    def resume(self, sync: Sync) -> None:
        """Send the events after an offset of an epoch again."""

    def end(self, code: int, reason: str) -> None:
        """Close the socket with a close code; the first reason counts."""

    async def reply(self, name: str, data: object, correlation_id: str) -> None:
        """Send an event to this client alone."""

    async def complain(
        self, error: OrchestratorError, *, parent_id: str | None, correlation_id: str, about: str = "session"
    ) -> None:
        """Send `system.error`, for the frame `parent_id` where one is known, which was of the domain `about`."""
