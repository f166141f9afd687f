"""Dead letters in Redis, and the records of tasks that are done again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from orchestrator.codec import decode_kept
from orchestrator.errors import TenantDamaged
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.replay import DeadLetter
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.contents import is_sealed
from orchestrator.store.records import reading
from orchestrator.store.tasks.task_records import read_input
from orchestrator.store.tenant_store import TenantStore

_TASK_FIELDS: Final = ("type", "session_id", "replayed_as", "user_id")
_CHECKPOINT: Final = b"checkpoint:"
_ORDER: Final = b"order:"


@frozen
class TaskRecord:
    """A task's record, as a replay needs it."""

    status: TaskStatus
    message: bytes
    user_id: str
    checkpoints: Mapping[str, bytes]
    """Results (JSON) of finished calls by name, in the order in which these were done."""


class DeadLetterStore(TenantStore):
    """Dead letters of tenants."""

    async def page(self, tenant_id: str, before: str | None, count: int) -> list[tuple[str, dict[bytes, bytes]]]:
        """Return the dead letters that came before the one of the id `before`, the latest first."""
        if before == "0-0":  # Redis refuses to be asked for what comes before the first of all ids
            return []
        highest = f"({before}" if before else "+"
        rows = await self.redis.xrevrange(self.keys.dead_letters(tenant_id), highest, "-", count)
        return [(entry.decode(), fields) for entry, fields in rows]

    async def some(self, tenant_id: str, ids: Sequence[str]) -> list[tuple[str, dict[bytes, bytes]]]:
        """Return dead letters by id; those that are gone are left out."""
        stream = self.keys.dead_letters(tenant_id)
        found = await self.redis.gather([("XRANGE", stream, one, one) for one in ids])
        return [(entry.decode(), _pairs(fields)) for rows in found for entry, fields in rows]

    async def described(self, tenant_id: str, rows: Sequence[tuple[str, dict[bytes, bytes]]]) -> list[DeadLetter]:
        """Return dead letters with what is known of their tasks."""
        names = [fields.get(b"task_id", b"").decode(errors="replace") for _, fields in rows]
        known = (
            await self.redis.gather(
                [("HMGET", self.keys.task(tenant_id, name), *_TASK_FIELDS) for name in names], raise_on_error=False
            )
            if names
            else []
        )
        return [
            _dead_letter(entry, name, self._opened(tenant_id, fields), task)
            for (entry, fields), name, task in zip(rows, names, known, strict=True)
        ]

    def _opened(self, tenant_id: str, fields: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        """Return a letter in clear; where it can't be opened, the reason stands in the place of its contents."""
        try:
            return self.contents.open_record(tenant_id, "task", fields)
        except TenantDamaged as damage:
            clear = {name: value for name, value in fields.items() if not is_sealed(value)}
            return {**clear, b"reason": damage.reason.encode()}

    async def input_of(self, tenant_id: str, task_id: str) -> dict[str, Any] | None:
        """Return what a task was asked; None where that is not known any more."""
        try:
            record = await self.redis.hgetall(self.keys.task(tenant_id, task_id))
            opened = self.contents.open_record(tenant_id, "task", record)
        except TenantDamaged:
            return None
        return read_input(opened.get(b"message", b""))

    async def drop(self, tenant_id: str, ids: Sequence[str]) -> int:
        """Delete dead letters; returns how many there were."""
        return int(await self.redis.xdel(self.keys.dead_letters(tenant_id), *ids)) if ids else 0

    async def record(self, tenant_id: str, task_id: str) -> TaskRecord | None:
        """Return a task's record; None if it is not there any more.

        Raises:
            RecordDamaged
        """
        fields = await self.redis.hgetall(self.keys.task(tenant_id, task_id))
        fields = self.contents.open_record(tenant_id, "task", fields)
        if b"message" not in fields:
            return None
        with reading("task", task_id):
            done = [name.removeprefix(_CHECKPOINT) for name in fields if name.startswith(_CHECKPOINT)]
            done.sort(key=lambda name: int(fields.get(_ORDER + name, 0)))
            return TaskRecord(
                status=TaskStatus(fields[b"status"].decode()),
                message=fields[b"message"],
                user_id=fields.get(b"user_id", b"").decode(),
                checkpoints={name.decode(): fields[_CHECKPOINT + name] for name in done},
            )


def _pairs(flat: Any) -> dict[bytes, bytes]:
    return dict(flat) if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def _dead_letter(
    entry: str, task_id: str, fields: Mapping[bytes, bytes], task: Sequence[bytes | None] | TenantDamaged
) -> DeadLetter:
    # A letter is shown whatever has become of the record of its task.
    known = [None] * len(_TASK_FIELDS) if isinstance(task, TenantDamaged) else task
    kind, session_id, replayed_as, user_id = (
        part.decode(errors="replace") if part is not None else None for part in known
    )
    kept = fields.get(b"message")
    return DeadLetter(
        id=entry,
        task_id=task_id,
        error=_error(fields),
        attempts=int(attempts) if (attempts := fields.get(b"attempts", b"")).isdigit() else 0,
        at=_moment(fields.get(b"at", b""), entry.partition("-")[0].encode()),
        type=kind,
        session_id=session_id,
        user_id=user_id,
        replayed_as=replayed_as,
        message=kept.decode(errors="replace") if kept is not None else None,
    )


def _moment(*written: bytes) -> str:
    """Return the first moment that can be read."""
    for one in written:
        try:
            return to_timestamp(int(one))
        except (ValueError, ArithmeticError, OSError):
            continue
    return to_timestamp(0)


def _error(fields: Mapping[bytes, bytes]) -> ErrorBody:
    reason = fields.get(b"reason", b"The reason was not kept.").decode(errors="replace")
    try:
        return decode_kept(fields.get(b"error", b""), ErrorBody)
    except TenantDamaged:
        return ErrorBody("ORCH_VAL_001", "validation_error", reason)
