"""Damaged tasks: a claimed task that can't be run goes to the dead letters, whatever is wrong with its record."""

from typing import Any, Final

import orjson
import structlog
from attrs import evolve

from orchestrator.codec import encode
from orchestrator.errors import FencedOut, InternalFault, OrchestratorError, StoreUnavailable, TenantDamaged
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id, new_id
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Lane
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.attempts.services import QueueServices
from orchestrator.services.shared.views import state_body
from orchestrator.store.contents import is_sealed
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.enqueue import DamagedTaskEnd, ExternalEntry

_log = structlog.get_logger()

KEPT: Final = 4096
"""So many bytes of an entry are kept among the dead letters."""


async def dead_letter_damaged(services: QueueServices, entry: ExternalEntry) -> None:
    """Move a task whose record can't be read to the dead letters; its session goes on."""
    error = TenantDamaged(entry.damage, details=[FieldFault("$", entry.damage)])
    await _dead_letter(services, entry, error)


async def settle_damage(services: QueueServices, claim: Claim, damage: TenantDamaged) -> None:
    """Move a task that has turned out to be damaged while it ran to the dead letters; its session goes on.

    Where not even that can be written, the lease of the task runs out.
    """
    try:
        await dead_letter_damaged(services, evolve(_entry_of(claim), damage=damage.reason))
    except (FencedOut, StoreUnavailable, TenantDamaged) as error:
        _unsettled(claim, error)


async def settle_crash(services: QueueServices, running: RunningTask) -> None:
    """Have a task that was left unsettled by a bug tried again, or moved to the dead letters after its attempts.

    Where not even that can be written, the lease of the task runs out.
    """
    claim = running.claim
    try:
        # A failure, and a wait for an answer, cost an attempt too, and are no crash.
        if claim.attempt - claim.failures - claim.parks >= services.settings.max_attempts:
            fault = InternalFault("The task was given up: each attempt at it failed for a reason inside the service.")
            await _dead_letter(services, _entry_of(claim), fault)
        else:
            await services.tasks.hand_back(claim)
            await services.ready.mark(claim.tenant_id)
    except (FencedOut, StoreUnavailable, TenantDamaged) as error:
        _unsettled(claim, error)


def _unsettled(claim: Claim, error: Exception) -> None:
    _log.warning("task.unsettled", tenant_id=claim.tenant_id, task_id=claim.task_id, reason=str(error))


def _entry_of(claim: Claim) -> ExternalEntry:
    record = claim.record
    return ExternalEntry(
        claim.tenant_id,
        Lane(record[b"lane"].decode()),
        record[b"entry"].decode(),
        {b"task_id": claim.task_id.encode(), b"message": record.get(b"message", b"")},
        attempt=str(claim.attempt),
        session_id=record.get(b"session_id", b"").decode(),
    )


async def _dead_letter(services: QueueServices, entry: ExternalEntry, error: OrchestratorError) -> None:
    message = entry.fields.get(b"message", b"")
    told = _told(message)
    correlation_id = told.get("correlation_id") or new_id()
    session_id = entry.session_id or told.get("session_id", "")
    _log.error(
        "task.dead_lettered",
        tenant_id=entry.tenant_id,
        task_id=entry.fields.get(b"task_id", b"").decode(errors="replace"),
        reason=str(error),
    )
    ending = DamagedTaskEnd(
        session_id, correlation_id, state_body(entry.tenant_id, session_id, SessionState.ERROR, correlation_id)
    )
    more = await services.enqueue.dead_letter_task(
        entry,
        ending,
        error=encode(error.body(correlation_id)),
        kept=kept_of(message),
        retain_seconds=int(services.settings.retain_tasks),
    )
    if more:
        await services.ready.mark(entry.tenant_id)


def kept_of(message: bytes) -> bytes:
    """Return what of a message is kept among the dead letters; a sealed one that can't be opened stays whole."""
    return message if is_sealed(message) else message[:KEPT]


def _told(message: bytes) -> dict[str, str]:
    """Return the ids that a message tells, as far as it can be read."""
    try:
        content: Any = orjson.loads(message)
    except ValueError:
        return {}
    fields = content if isinstance(content, dict) else {}
    return {
        name: fields[name]
        for name in ("session_id", "correlation_id")
        if isinstance(fields.get(name), str) and is_id(fields[name])
    }
