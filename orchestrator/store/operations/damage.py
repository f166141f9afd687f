"""What of a tenant can't be read: keys of the wrong type, and records with a field that is missing or wrong."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final

from attrs import frozen

from orchestrator.errors import InvalidBody, TenantDamaged
from orchestrator.models.common.cron import cron_fault, timezone_fault
from orchestrator.models.operations.consistency import Violation, ViolationKind
from orchestrator.models.tasks.task import Lane, TaskStatus
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
_ZSET, _HASH, _STREAM, _STRING = b"zset", b"hash", b"stream", b"string"
_TYPES: Final = {
    "sessions": _ZSET,
    "session_timers": _ZSET,
    "turns_waiting": _HASH,
    "cursors": _HASH,
    "delayed": _ZSET,
    "task_index": _ZSET,
    "parked": _STREAM,
    "users": _HASH,
    "dead_letters": _STREAM,
    "schedules": _ZSET,
    "schedules_due": _ZSET,
    "batches": _ZSET,
    "batches_waiting": _HASH,
    "tenant_config": _HASH,
    "tenant_limit": _STRING,
    "start_limit": _STRING,
    "calls": _ZSET,
    "default_models": _HASH,
    "answers": _ZSET,
    "notifications": _STREAM,
}
"""The keys of which a tenant has one each, by their names in `store.keys`."""


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
        claim.message(), claim.checkpoints()
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
        int(record[b"offset"]), record[b"epoch"].decode()
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

    async def wrong_keys(self, tenant_id: str) -> list[Violation]:
        """Return the keys of a tenant that are of the wrong type; what needs them can't be done."""
        keys = {getattr(self.keys, name)(tenant_id): kind for name, kind in _TYPES.items()}
        keys |= {self.keys.lane(tenant_id, lane): _STREAM for lane in Lane}
        types = await self.redis.gather([("TYPE", key) for key in keys])
        found = []
        for (key, wanted), kind in zip(keys.items(), types, strict=True):
            if kind not in {wanted, b"none"}:
                says = f"is a {kind.decode()}, and should be a {wanted.decode()}"
                found.append(Violation(ViolationKind.KEY_DAMAGED, key, says))
        return found

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
            aside = self.keys.damaged(tenant_id, violation.subject)
            await self.redis.execute_command("RENAME", violation.subject, aside)
            return bool(await self.redis.expire(aside, KEPT_SECONDS))
        if violation.kind is ViolationKind.CONFIG_DAMAGED:
            dropped = await self.redis.hdel(self.keys.tenant_config(tenant_id), violation.subject)
            if violation.subject == "weight":
                dropped += await self.redis.hdel(self.keys.weights, tenant_id)
            return bool(dropped)
        noun = KINDS[violation.kind].key
        return bool(await self.run(_SET_ASIDE, tenant_id, noun, violation.subject, KEPT_SECONDS))
