"""Claims: tasks as they are handed to a process, each with the number that fences its writing."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
from attrs import field, frozen

from orchestrator.codec import KeptDamaged, decode_kept
from orchestrator.errors import FencedOut, InvalidBody, TenantDamaged
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import CancelledBy, Lane, TaskMessage
from orchestrator.store.contents import Contents
from orchestrator.store.records import reading
from orchestrator.store.sessions.sessions import read_session
from orchestrator.store.tasks.enqueue import ExternalEntry, read_external_entry
from orchestrator.store.tasks.fast_decode import quick_reader

_read_message: Final = quick_reader(TaskMessage)
_CHECKPOINT_FIELD: Final = b"checkpoint:"
_CLAIM_PARTS: Final = 5
_LOGGED: Final = ("session_id", "correlation_id")
_NUMBERS: Final = (b"failures", b"parks", b"expires_at", b"claimed_at", b"created_at", b"started_at", b"time_left")
_TEXTS: Final = (b"type", b"correlation_id", b"session_id", b"user_id", b"cancel")
"""Fields of a record that an attempt reads, where they are there: a damaged one shows before it begins."""


@frozen
class StopAsked:
    """How a task was asked to stop."""

    reason: str
    """`cancelled`, `interrupted`, or a word of another version of the service."""
    by: CancelledBy


def read_stop(reason: bytes | None, by: bytes | None) -> StopAsked | None:
    """Read how a task was asked to stop, as its record has it; None: it was not."""
    if not reason:
        return None
    who = (by or b"").decode(errors="replace")
    # The version before has told of operators alone.
    return StopAsked(reason.decode(errors="replace"), CancelledBy(who) if who in set(CancelledBy) else CancelledBy.USER)


@frozen
class Claim:
    """A task in hand."""

    tenant_id: str
    task_id: str
    attempt: int
    """The fencing token."""
    record: Mapping[bytes, bytes]
    session: Session | None

    def log_fields(self) -> dict[str, str | int]:
        """Return what each log line says of the task."""
        texts = {name: self.record.get(name.encode(), b"").decode(errors="replace") for name in _LOGGED}
        ids: dict[str, str | int] = {"tenant_id": self.tenant_id, "task_id": self.task_id, "attempt": self.attempt}
        with suppress(InvalidBody):
            ids["trace_id"] = self.message().metadata.trace_id or ""
        return ids | texts

    def message(self) -> TaskMessage:
        """Read the task's message.

        Raises:
            InvalidBody: it can't be read; with every fault and its path.
        """
        raw = self.record.get(b"message")
        if raw is None:
            missing = FieldFault("$", "has no field 'message'")
            raise InvalidBody("The record of the task has no field 'message'.", details=[missing])
        try:
            return _read_message(raw) or decode_kept(raw, TaskMessage)
        except KeptDamaged as damage:
            raise InvalidBody(damage.reason, details=damage.details) from None

    def checkpoints(self) -> dict[str, Any]:
        """Return the results of finished steps, by name.

        Raises:
            RecordDamaged: one of them can't be read.
        """
        with reading("task", self.task_id):
            return {
                field.removeprefix(_CHECKPOINT_FIELD).decode(): orjson.loads(value)
                for field, value in self.record.items()
                if field.startswith(_CHECKPOINT_FIELD)
            }

    @property
    def failures(self) -> int:
        """How often the task has failed and was started over."""
        return int(self.record.get(b"failures", 0))

    @property
    def parks(self) -> int:
        """How often the task was put aside to wait for an answer."""
        return int(self.record.get(b"parks", 0))

    @property
    def expired(self) -> bool:
        """Whether its time to be started was over when it was claimed for the first time, by Redis' clock."""
        expires_at = self.record.get(b"expires_at")
        return self.attempt == 1 and expires_at is not None and int(expires_at) <= int(self.record[b"claimed_at"])

    @property
    def time_left_ms(self) -> int | None:
        """What earlier attempts, which have failed, have left of the task's time; None: there were none."""
        left = self.record.get(b"time_left")
        return int(left) if left else None

    @property
    def stop_asked(self) -> StopAsked | None:
        """How the task was asked to stop before it was claimed; None: it was not."""
        return read_stop(self.record.get(b"cancel"), self.record.get(b"cancelled_by"))


@frozen
class ClaimBatch:
    """What one claim has brought."""

    claims: list[Claim]
    more: bool
    """Whether there may be more to claim now."""
    read: int
    """Entries that were taken, those included that needed no worker."""
    wait_ms: int
    """How long the tenant's rate makes it wait; 0: it does not."""
    external_entries: list[ExternalEntry] = field(factory=list)
    """What was claimed and is no task yet, or can't be read."""


@frozen
class SilentLease:
    """A lease that was not renewed for a while."""

    lane: str
    entry: str
    holder: str
    """The process."""
    renewed_ms: int
    """The moment of its last renewal, by Redis' clock."""
    silence_ms: int
    """How long ago that was by Redis' clock, when it was read."""

    @property
    def place(self) -> tuple[str, str, str]:
        """What it is a lease of, and whose."""
        return self.lane, self.entry, self.holder


def held(reply: int) -> int:
    """Return what a fenced script says.

    Raises:
        FencedOut: the attempt is no longer the current one.
    """
    if reply == -1:
        raise FencedOut
    return reply


def read_claims(contents: Contents, tenant_id: str, rows: list[Any]) -> tuple[list[Claim], list[ExternalEntry]]:
    """Read the rows of a claiming script: tasks, and what is no task yet, or can't be read as one."""
    claims, entries = [], []
    for row in rows:
        if len(row) < _CLAIM_PARTS:
            entries.append(read_external_entry(tenant_id, row))
            continue
        try:
            claims.append(_claim(contents, tenant_id, row))
        except TenantDamaged as damage:
            entries.append(_damaged(tenant_id, row, damage.reason))
    return claims, entries


def _claim(contents: Contents, tenant_id: str, row: list[Any]) -> Claim:
    _, _, flat_task, flat_session, task_id = row
    session = contents.open_pairs(tenant_id, "session", flat_session)
    return read_record(
        tenant_id,
        task_id,
        contents.open_pairs(tenant_id, "task", flat_task),
        session=read_session(session) if session else None,
    )


def read_record(
    tenant_id: str, task_id: bytes, record: Mapping[bytes, bytes], *, session: Session | None = None
) -> Claim:
    """Read the record of a task as an attempt reads it.

    Raises:
        RecordDamaged: a field that every attempt reads is missing or of the wrong type.
    """
    with reading("task", task_id.decode(errors="replace")):
        for name in _NUMBERS:
            int(record.get(name, 0))
        for name in _TEXTS:
            record.get(name, b"").decode()
        claim = Claim(tenant_id, task_id.decode(), int(record[b"attempt"]), record, session)
        if not (0 <= claim.failures <= claim.attempt and 0 <= claim.parks <= claim.attempt):
            raise ValueError("it was claimed less often than it has failed or waited")
        return claim


def _damaged(tenant_id: str, row: list[Any], reason: str) -> ExternalEntry:
    entry, lane, flat_task, _, task_id = row
    record = dict(zip(flat_task[::2], flat_task[1::2], strict=True))
    return ExternalEntry(
        tenant_id,
        Lane(lane.decode()),
        entry.decode(),
        {b"task_id": task_id, b"message": record.get(b"message", b"")},
        damage=reason,
        attempt=record[b"attempt"].decode(),
        session_id=record.get(b"session_id", b"").decode(errors="replace"),
    )
