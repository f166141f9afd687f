"""Taking in tasks that do not come through a client's request: written by hand, replayed, imported."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from attrs import frozen

from orchestrator.config.constants import IDEMPOTENCY_SECONDS
from orchestrator.models.tasks.task import Lane
from orchestrator.store.contents import ERROR, MESSAGE
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore, read_verdict

_PLACE: Final = Script("admission/enqueue_task")
_DEAD_LETTER: Final = Script("admission/dead_letter_entry")
_DEAD_LETTER_TASK: Final = Script("attempts/dead_letter_task")
_ID_BYTES: Final = 200
_GROUP: Final = "orchestrator"
"""The consumer group of the lanes."""


class Enqueued(StrEnum):
    """What became of a task that was to be taken in."""

    OK = "ok"
    KNOWN = "known"
    """A task with its id is there already."""
    UNKNOWN = "unknown"
    """Its session is not there; or is not its user's, where another program has written it."""
    CLOSED = "closed"
    """Its session takes nothing more."""
    TENANT = "tenant"
    """The tenant drains, or is drained."""
    FULL = "full"
    REPLAYED = "replayed"
    """Another task has replayed the same one meanwhile."""
    REPEATED = "repeated"
    """A task with its deduplication or idempotency key is there already; an entry that it came as is gone."""


@frozen
class ExternalEntry:
    """An entry of a lane without a record: another program has written it; or one whose task can't be read."""

    tenant_id: str
    lane: Lane
    entry: str
    fields: Mapping[bytes, bytes]
    damage: str = ""
    """Why its task can't be read; empty: it has no record."""
    attempt: str = ""
    """Of such a task, where that is known."""
    session_id: str = ""
    """The same."""


@frozen
class ReplayMark:
    """The task that a new one replays: the script that takes the new one in marks it."""

    replay_of: str
    last_replay: str = "*"
    """The task that must have replayed it last; empty: none may have; `*`: any."""


@frozen
class NewEntry:
    """A task that is to be taken in."""

    tenant_id: str
    task_id: str
    user_id: str
    correlation_id: str
    record: Mapping[str, str | bytes | int]
    """Further fields of its record: `message`, `lane`, `priority`, `type`, and what is known beside."""
    session_id: str = ""
    message_id: str = ""
    queued_body: bytes = b""
    """Of `chat.status_update`."""
    state_body: bytes = b""
    """Of `session.state_update`."""
    due_ms: int | None = None
    """When it is due, by Redis' clock; None: now."""
    replays: ReplayMark | None = None
    expire_ms: int = 0
    """How long it may wait to be started; 0: for ever, or as its record says."""
    deduplication_key: str | None = None
    """While a task with the same key has not ended, this one is that one; None: it has none."""
    idempotency_key: str | None = None
    """The same for a day, whether that has ended or not."""


@frozen
class DamagedTaskEnd:
    """What the end of a task that can't be run means for its session."""

    session_id: str
    """Empty: it has none, or it is unknown."""
    correlation_id: str
    state_body: bytes
    """Of `session.state_update`."""


class EnqueueStore(TenantStore):
    """Takes tasks in."""

    async def place(
        self,
        task: NewEntry,
        *,
        retain_seconds: int,
        session_queue_length: int | None = None,
        external_entry: ExternalEntry | None = None,
        within_quotas: bool = False,
    ) -> tuple[Enqueued, str | bool]:
        """Take a task in.

        Args:
            task: the task.
            retain_seconds: how long records are kept.
            session_queue_length: how many turns may wait in its session; None: its session is not asked, because it
                waits already, or was accepted elsewhere, and neither are the quotas of its tenant, but for an entry's.
            external_entry: the entry that it came as, which goes. The session that such a task is of, or tells,
                must be its user's.
            within_quotas: the quotas of its tenant are asked in any case.

        Returns:
            What became of it; and whether it is claimable (OK), or the state or the full queue that refuses it, or the
            task that has replayed the same one (REPLAYED), or that has its key (REPEATED).
        """
        is_bounded = session_queue_length is not None or external_entry is not None or within_quotas
        reply = await self.run(
            _PLACE,
            task.tenant_id,
            task.task_id,
            task.session_id,
            task.message_id,
            task.user_id,
            task.correlation_id,
            retain_seconds,
            self.contents.seal_queued(task.tenant_id, task.queued_body),
            task.state_body,
            self.limit_defaults["queue_length"] if is_bounded else "",
            "" if task.due_ms is None else task.due_ms,
            external_entry.lane if external_entry else "",
            external_entry.entry if external_entry else "",
            "" if session_queue_length is None else session_queue_length,
            task.replays.replay_of if task.replays else "",
            task.replays.last_replay if task.replays else "",
            task.expire_ms or "",
            self.limit_defaults["bytes"],
            (task.session_id or task.record.get("of_session", "")) if external_entry else "",
            int(task.deduplication_key is not None),
            "" if task.idempotency_key is None else IDEMPOTENCY_SECONDS,
            *self.contents.seal_fields(task.tenant_id, "task", task.record),
            keys=[
                self.keys.deduplication(task.tenant_id, task.deduplication_key or ""),
                self.keys.deduplication(task.tenant_id, f"entry:{task.user_id}:{task.idempotency_key or ''}"),
            ],
        )
        placed = Enqueued(reply[0].decode())
        if placed is Enqueued.OK:
            return placed, bool(reply[1])
        return read_verdict(Enqueued, reply)

    async def drop(self, external_entry: ExternalEntry) -> None:
        """Remove an entry that was no task, and has been dealt with."""
        lane = self.keys.lane(external_entry.tenant_id, external_entry.lane)
        await self.redis.gather([("XACK", lane, _GROUP, external_entry.entry), ("XDEL", lane, external_entry.entry)])

    async def dead_letter(self, external_entry: ExternalEntry, *, error: bytes, kept: bytes) -> None:
        """Move an entry to the dead letters.

        Args:
            external_entry: the entry.
            error: JSON: why.
            kept: what is kept of what it held.
        """
        # Another program wrote it: it may be of any length.
        task_id = external_entry.fields.get(b"task_id", b"")[:_ID_BYTES]
        tenant_id, seal = external_entry.tenant_id, self.contents.seal
        letter = (seal(tenant_id, ERROR, error), seal(tenant_id, MESSAGE, kept))
        await self.run(_DEAD_LETTER, tenant_id, external_entry.lane, external_entry.entry, task_id, *letter)

    async def dead_letter_task(
        self, entry: ExternalEntry, ending: DamagedTaskEnd, *, error: bytes, kept: bytes, retain_seconds: int
    ) -> bool:
        """Move a claimed task that can't be run to the dead letters; returns whether work became claimable.

        Args:
            entry: the entry of the task, with its attempt.
            ending: whose turn ends with it.
            error: JSON: why.
            kept: what is kept of what the entry held.
            retain_seconds: how long what is left of its record is kept.
        """
        reply = await self.run(
            _DEAD_LETTER_TASK,
            entry.tenant_id,
            entry.lane,
            entry.entry,
            entry.fields.get(b"task_id", b""),
            entry.attempt,
            ending.session_id,
            self.contents.seal(entry.tenant_id, ERROR, error),
            self.contents.seal(entry.tenant_id, MESSAGE, kept),
            ending.correlation_id,
            ending.state_body,
            retain_seconds,
        )
        return bool(reply == 1)


def read_external_entry(tenant_id: str, row: list[Any]) -> ExternalEntry:
    """Read what a claiming script says of an entry without record, or whose record can't be read."""
    entry, lane, fields, *damage = row
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return ExternalEntry(
        tenant_id, Lane(lane.decode()), entry.decode(), named, damage[0].decode(errors="replace") if damage else ""
    )
