"""Entries that somebody has written into a lane by hand: a task where they are one, a dead letter otherwise."""

from typing import Final

import structlog

from orchestrator.codec import encode
from orchestrator.domain.tasks.task_messages import read_task_message
from orchestrator.errors import InvalidBody, OrchestratorError
from orchestrator.models.common.envelope import FieldFault
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.tasks.enqueue import complete_turn, placement_of
from orchestrator.store.tasks.enqueue import Placed, PlacementStore, Stray

_log = structlog.get_logger()

_KEPT: Final = 4096
_NAME_BYTES: Final = 60
"""So many bytes of what is no message go to the dead letters."""
_REFUSED: Final = {
    Placed.KNOWN: ("$.task_id", "is the id of another task"),
    Placed.UNKNOWN: ("$.session_id", "names a session that is not there"),
    Placed.CLOSED: ("$.session_id", "names a session that takes nothing more"),
}


async def adopt_stray(services: QueueServices, stray: Stray) -> None:
    """Make an entry without record a task, or a dead letter that says why it is none."""
    settings = services.settings
    store = PlacementStore(services.redis, services.keys, settings.event_log_length)
    try:
        message = complete_turn(read_task_message(_raw(stray), stray.tenant_id))
        placed, detail = await store.place(
            placement_of(message), retain_seconds=int(settings.retain_tasks), stray=stray
        )
        if placed in _REFUSED:
            path, fault = _REFUSED[placed]
            raise InvalidBody(f"{path} {fault}.", details=[FieldFault(path, fault)])
    except OrchestratorError as error:
        if error.status >= 500:
            raise
        _log.warning("task.refused", tenant_id=stray.tenant_id, entry=stray.entry, reason=error.message)
        kept = stray.fields.get(b"message", b"")[:_KEPT]
        await store.bury(stray, error=encode(error.body()), kept=kept)
        return
    if detail is True:
        await services.ready.mark(stray.tenant_id)


def _raw(stray: Stray) -> bytes:
    raw = stray.fields.get(b"message")
    if raw is None:
        names = ", ".join(sorted(name[:_NAME_BYTES].decode(errors="replace") for name in stray.fields)[:5])
        fault = FieldFault("$", "has no field 'message'")
        raise InvalidBody(f"The entry has no field 'message', but {names}.", details=[fault])
    return raw
