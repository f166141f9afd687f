"""Entries that other programs have written into a lane: a task where they are one, a dead letter otherwise."""

from typing import Final

import structlog

from orchestrator.codec import encode
from orchestrator.domain.tasks.task_messages import read_task_message
from orchestrator.errors import InternalFault, InvalidBody, OrchestratorError, StoreUnavailable
from orchestrator.models.common.envelope import FieldFault
from orchestrator.queue.attempts.damaged_tasks import dead_letter_damaged, kept_of
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.operations.enqueue import new_entry_of
from orchestrator.services.shared.views import quota_reached
from orchestrator.store.tasks.enqueue import Enqueued, ExternalEntry

_log = structlog.get_logger()

_NAME_BYTES: Final = 60
"""So many bytes of what is no message go to the dead letters."""
_REFUSED: Final = {
    Enqueued.KNOWN: ("$.task_id", "is the id of another task"),
    Enqueued.UNKNOWN: ("$.session_id", "names a session that is not there, or not the user's"),
    Enqueued.CLOSED: ("$.session_id", "names a session that takes nothing more"),
}


async def import_entry(services: QueueServices, external_entry: ExternalEntry) -> None:
    """Make an entry without record a task, or a dead letter that says why it is none, or can't be read."""
    if external_entry.damage:
        await dead_letter_damaged(services, external_entry)
        return
    try:
        await _place(services, external_entry)
    except StoreUnavailable:
        raise
    except OrchestratorError as error:
        await _refuse(services, external_entry, error)
    except Exception:  # noqa: BLE001 - the boundary of one entry: logged, and told among the dead letters
        _log.exception("task.not_read", tenant_id=external_entry.tenant_id, entry=external_entry.entry)
        fault = InternalFault("The entry could not be read for a reason inside the service; its log has the reason.")
        await _refuse(services, external_entry, fault)


async def _place(services: QueueServices, external_entry: ExternalEntry) -> None:
    """Make an entry a task.

    Raises:
        InvalidBody: it is none.
        QueueFull: a quota of its tenant is reached.
        StoreUnavailable, TenantDamaged
    """
    message = read_task_message(_raw(external_entry), external_entry.tenant_id)
    kind = services.kinds.named(str(message.type))
    placed, detail = await services.enqueue.place(
        new_entry_of(kind.complete(message), kind),
        retain_seconds=int(services.settings.retain_tasks),
        external_entry=external_entry,
    )
    if placed is Enqueued.FULL:
        raise quota_reached(str(detail))
    if placed in _REFUSED:
        path, fault = _REFUSED[placed]
        raise InvalidBody(f"{path} {fault}.", details=[FieldFault(path, fault)])
    if detail is True:
        await services.ready.mark(external_entry.tenant_id)


async def _refuse(services: QueueServices, external_entry: ExternalEntry, error: OrchestratorError) -> None:
    _log.warning("task.refused", tenant_id=external_entry.tenant_id, entry=external_entry.entry, reason=error.message)
    kept = kept_of(external_entry.fields.get(b"message", b""))
    await services.enqueue.dead_letter(external_entry, error=encode(error.body()), kept=kept)


def _raw(external_entry: ExternalEntry) -> bytes:
    raw = external_entry.fields.get(b"message")
    if raw is None:
        names = ", ".join(sorted(name[:_NAME_BYTES].decode(errors="replace") for name in external_entry.fields)[:5])
        fault = FieldFault("$", "has no field 'message'")
        raise InvalidBody(f"The entry has no field 'message', but {names}.", details=[fault])
    return raw
