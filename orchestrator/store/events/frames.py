"""Frames: what stands in an event log, and what goes over the wire.

The log keeps a frame's body without `offset` and `epoch`, since both are known only when the body is appended. They are
spliced in front, so an event is encoded once, however many follow it.
"""

from functools import lru_cache
from typing import Any, Final

from orchestrator.codec import encode, unstructure
from orchestrator.models.common.envelope import SCHEMA_VERSION, SOURCE_SERVICE, MessageType
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.events.events import Event

_DATA: Final = b'{"data":{'
_FIRST_FIELD: Final = _DATA + b'"'
_STATE_UPDATE: Final = "session.state_update"


def make_body(name: str, data: object, *, tenant_id: str | None, correlation_id: str) -> bytes:
    """Encode an event as its log keeps it.

    Args:
        name: the event, `domain.action`.
        data: its model.
        tenant_id: whose it is; None in a refusal, where that is not known yet.
        correlation_id: the request that it belongs to.
    """
    fields = unstructure(data)
    if name == _STATE_UPDATE:
        # Its offset and epoch are those of the frame, and are spliced in with them.
        del fields["offset"], fields["epoch"]
    return encode(
        {
            "data": fields,
            "message_id": new_id(),
            "correlation_id": correlation_id,
            "type": _type_of(name),
            "schema_version": SCHEMA_VERSION,
            "created_at": to_timestamp(now_ms()),
            "tenant_id": tenant_id,
            "source_service": SOURCE_SERVICE,
        }
    )


@lru_cache(maxsize=256)
def _type_of(name: str) -> Any:
    """Return a type as plain data, which is not to be changed."""
    return unstructure(MessageType.parse(name))


def frame(event: Event) -> bytes:
    """Write an event as clients get it."""
    place = b'"offset":%d,"epoch":"%s",' % (event.offset, event.epoch.encode())
    if event.name == _STATE_UPDATE and event.body.startswith(_FIRST_FIELD):
        return b"{" + place + _DATA[1:] + place + event.body[len(_DATA) :]
    return b"{" + place + event.body[1:]
