"""Frames that a socket sends of its own: they stand in no log, and carry the offset that the client has reached."""

from typing import Final

import orjson

from orchestrator.domain.session_states import CLOSED
from orchestrator.errors import ClientFault, InternalFault, OrchestratorError, SessionClosed, Unauthorized
from orchestrator.models.events.events import Event, Trouble
from orchestrator.store.events.frames import frame, make_body

_STATE_UPDATE: Final = "session.state_update"
_FINAL: Final = (SessionClosed, Unauthorized, InternalFault)


def own_frame(
    name: str, data: object, *, tenant_id: str | None, correlation_id: str, offset: int = 0, epoch: str = ""
) -> bytes:
    """Write a frame that is not in the log.

    Args:
        name: the event, `domain.action`.
        data: its model.
        tenant_id: whose it is; None: not known yet.
        correlation_id: the frame or request that it answers.
        offset: the last one that was sent on this socket.
        epoch: of the log.
    """
    return frame(Event(offset, epoch, name, make_body(name, data, tenant_id=tenant_id, correlation_id=correlation_id)))


def trouble(error: OrchestratorError, *, parent_id: str | None, correlation_id: str) -> Trouble:
    """Return the data of `system.error`: a warning where the client can help it, an error where it can't."""
    return Trouble(
        error.body(correlation_id),
        parent_id,
        severity="warning" if isinstance(error, ClientFault) else "error",
        is_recoverable=not isinstance(error, _FINAL),
    )


def ends_session(event: Event) -> bool:
    """Tell whether nothing follows this event, because the session is closed."""
    return event.name == _STATE_UPDATE and orjson.loads(event.body)["data"]["state"] in CLOSED
