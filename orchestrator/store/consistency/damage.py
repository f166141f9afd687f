"""What of a tenant can't be read: records with a field that is missing or wrong."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

from attrs import frozen

from orchestrator.errors import InvalidBody, TenantDamaged
from orchestrator.models.common.cron import cron_fault, timezone_fault
from orchestrator.models.operations.consistency import Violation, ViolationKind
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.consistency.key_types import shared_types
from orchestrator.store.contents import ERROR
from orchestrator.store.operations.tenant_config import read_config
from orchestrator.store.records import reading
from orchestrator.store.scheduling.batch_records import read_batch
from orchestrator.store.scheduling.schedules import read_schedule
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import read_session
from orchestrator.store.tasks.claims import read_record
from orchestrator.store.tasks.task_records import read_task
from orchestrator.store.tenant_store import TenantStore

_DEAD_LETTER_TASK: Final = Script("attempts/dead_letter_task")
_SET_ASIDE: Final = Script("consistency/set_aside")

KEPT_SECONDS: Final = 86_400
"""How long what was set aside is kept."""
_PART: Final = 200
_LIVE: Final = frozenset({TaskStatus.PENDING, TaskStatus.PROCESSING, TaskStatus.RETRYING, TaskStatus.WAITING})


@frozen
class _Kind:
    """A kind of records that a list of the tenant names."""

    violation: ViolationKind
    index: str
    """The list, by its name in `store.keys`."""
    key: str
    """Its records, the same."""
    read: Callable[[str, str, Any], object]
    """Reads a record: (tenant, id, fields); raises TenantDamaged or InvalidBody."""


def _check_task(tenant_id: str, task_id: str, record: Any) -> object:
    task = read_task(tenant_id, record)
    if task.status in _LIVE:
        claim = read_record(tenant_id, task_id.encode(), record)
        message = claim.message()
        claim.checkpoints()
        with reading("task", task_id):
            told = (message.metadata.user_id, message.session_id or "")
            held = (record.get(b"user_id", b"").decode(), record.get(b"session_id", b"").decode())
            if told != held:
                raise ValueError("its user or its session is not that of its message")
    return task


def _check_batch(tenant_id: str, batch_id: str, record: Any) -> object:
    with reading("batch", batch_id):
        for name in (b"started", b"offset", b"told_at", b"retain"):
            int(record[name])
        record[b"head"].decode(), record[b"tail"].decode(), record[b"progress"].decode()
    return read_batch(tenant_id, 0, record)


def _check_schedule(tenant_id: str, schedule_id: str, record: Any) -> object:
    schedule = read_schedule(tenant_id, record)
    with reading("schedule", schedule_id):
        fault = cron_fault(schedule.cron) or timezone_fault(schedule.timezone)
        if fault is not None:
            raise ValueError(fault)
    return schedule


def _check_session(_: str, session_id: str, record: Any) -> object:
    with reading("session", session_id):
        int(record[b"offset"])
    return read_session(record)


KINDS: Final = {
    kind.violation: kind
    for kind in (
        _Kind(ViolationKind.TASK_DAMAGED, "task_index", "task", _check_task),
        _Kind(ViolationKind.SESSION_DAMAGED, "sessions", "session", _check_session),
        _Kind(ViolationKind.BATCH_DAMAGED, "batches", "batch", _check_batch),
        _Kind(ViolationKind.SCHEDULE_DAMAGED, "schedules", "schedule", _check_schedule),
    )
}
"""The kinds of records, by what is said of one that can't be read."""


class DamageChecks(TenantStore):
    """Finds what can't be read, and sets it aside."""

    async def wrong_config(self, tenant_id: str) -> list[Violation]:
        """Return the fields of a tenant's configuration that can't be read; their defaults apply."""
        config = read_config(await self.redis.hgetall(self.keys.tenant_config(tenant_id)))
        weight = await self.redis.hget(self.keys.weights, tenant_id)
        faults = [*config.faults, *read_config({b"weight": weight} if weight is not None else {}).faults]
        return [
            Violation(ViolationKind.CONFIG_DAMAGED, name, f"in the configuration {says}")
            for name, says in {fault.name: fault.says for fault in faults}.items()
        ]

    async def unreadable(self, tenant_id: str, kind: ViolationKind, ids: Sequence[str]) -> list[Violation]:
        """Return which of some records can't be read, and why; those that are gone are passed over."""
        of = KINDS[kind]
        keys = [getattr(self.keys, of.key)(tenant_id, one) for one in ids]
        records = await self.redis.gather([("HGETALL", key) for key in keys], raise_on_error=False)
        found = []
        for one, record in zip(ids, records, strict=True):
            try:
                if isinstance(record, Exception):
                    raise record
                if record:
                    of.read(tenant_id, one, self.contents.open_record(tenant_id, of.key, record))
            except TenantDamaged as damage:
                found.append(Violation(kind, one, f"can't be read: {damage.reason}"))
            except InvalidBody as fault:
                found.append(Violation(kind, one, f"can't be read: {fault.message}"))
        return found

    async def lasting(self, tenant_id: str, task_ids: Sequence[str]) -> list[str]:
        """Return those of some tasks whose records do not expire."""
        left = await self.redis.gather([("TTL", self.keys.task(tenant_id, task_id)) for task_id in task_ids])
        return [task_id for task_id, seconds in zip(task_ids, left, strict=True) if seconds < 0]

    async def listed(self, tenant_id: str, kind: ViolationKind) -> AsyncGenerator[list[str], None]:
        """Yield the ids of a tenant's records of a kind, in parts."""
        key, cursor = getattr(self.keys, KINDS[kind].index)(tenant_id), 0
        while True:
            cursor, rows = await self.redis.zscan(key, cursor, count=_PART)
            if rows:
                yield [name.decode(errors="replace") for name, _ in rows]
            if cursor == 0:
                return

    async def dead_letter_task(
        self, tenant_id: str, task_id: str, *, error: bytes, correlation_id: str, state_body: bytes
    ) -> None:
        """Move a task that can't be read to the dead letters, wherever it is.

        Args:
            tenant_id: whose it is.
            task_id: the task.
            error: JSON: why.
            correlation_id: of who does it.
            state_body: `session.state_update` for its session, which `@session` stands for.
        """
        await self.run(
            _DEAD_LETTER_TASK, tenant_id, "", "", task_id, "", "", self.contents.seal(tenant_id, ERROR, error), b"",
            correlation_id, state_body, KEPT_SECONDS,
        )  # fmt: skip

    async def set_aside(self, tenant_id: str, violation: Violation) -> bool:
        """Take what can't be read out of the way of the rest; it is kept for a day. Tells whether it was there."""
        if violation.kind is ViolationKind.KEY_DAMAGED:
            return await self._set_key_aside(tenant_id, violation.subject)
        if violation.kind is ViolationKind.CONFIG_DAMAGED:
            dropped = await self.redis.hdel(self.keys.tenant_config(tenant_id), violation.subject)
            if violation.subject == "weight":
                dropped += await self.redis.hdel(self.keys.weights, tenant_id)
            return bool(dropped)
        noun = KINDS[violation.kind].key
        return bool(await self.run(_SET_ASIDE, tenant_id, noun, violation.subject, KEPT_SECONDS))

    async def _set_key_aside(self, tenant_id: str, key: str) -> bool:
        is_shared = key in shared_types(self.keys)
        aside = self.keys.damaged_shared(key) if is_shared else self.keys.damaged(tenant_id, key)
        # The key takes its time to live along: one that was renamed before it had any would stay for good.
        if not await self.redis.expire(key, KEPT_SECONDS):
            return False
        await self.redis.execute_command("RENAME", key, aside)
        return True
