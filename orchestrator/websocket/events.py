"""Frames that a socket sends of its own: they stand in no log, and carry the offset that the client has reached."""

from typing import Final

from attrs import frozen

from orchestrator.errors import ClientFault, InternalFault, OrchestratorError, SessionClosed, Unauthorized
from orchestrator.models.events.events import Trouble
from orchestrator.store.events.events import FrameWriter, LoggedEvent
from orchestrator.store.events.frames import make_body
from orchestrator.websocket.dialects.domain_action import OwnEvent

_ERROR: Final = "system.error"
_FINAL: Final = (SessionClosed, Unauthorized, InternalFault)


@frozen
class Place:
    """Where a frame stands that is in no log, and how it is written."""

    write: FrameWriter
    """In the socket's dialect."""
    tenant_id: str | None
    """Whose it is; None: not known yet."""
    owner_id: str = ""
    """The session, or what else is followed."""
    offset: int = 0
    """The last one that was sent on this socket."""
    epoch: str = ""

    def frame(self, name: str, data: object, correlation_id: str) -> bytes:
        """Write a frame that is in no log.

        Args:
            name: the event, `domain.action`.
            data: its model.
            correlation_id: the frame or request that it answers.
        """
        body = make_body(name, data, tenant_id=self.tenant_id, correlation_id=correlation_id)
        return self.write(LoggedEvent(self.offset, self.epoch, name, body, self.owner_id))

    def complaint(
        self, error: OrchestratorError, correlation_id: str, *, parent_id: str | None = None, about: str = "session"
    ) -> bytes:
        """Write `system.error`.

        Args:
            error: what is wrong.
            correlation_id: the frame or request that it answers.
            parent_id: the frame that caused it, where one is known.
            about: the domain of that frame.
        """
        data = trouble(error, parent_id=parent_id, correlation_id=correlation_id)
        body = make_body(_ERROR, data, tenant_id=self.tenant_id, correlation_id=correlation_id)
        return self.write(OwnEvent(self.offset, self.epoch, _ERROR, body, self.owner_id, error, about))


def trouble(error: OrchestratorError, *, parent_id: str | None, correlation_id: str) -> Trouble:
    """Return the data of `system.error`: a warning where the client can help it, an error where it can't."""
    return Trouble(
        error.body(correlation_id),
        parent_id,
        severity="warning" if isinstance(error, ClientFault) else "error",
        is_recoverable=not isinstance(error, _FINAL),
    )
