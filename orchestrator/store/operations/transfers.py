"""Reading a tenant's queued work, and creating its sessions elsewhere."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from attrs import frozen

from orchestrator.models.common.ids import new_epoch
from orchestrator.models.operations.transfer import TransferItem, TransferKind
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.store.operations.waiting_items import WaitingItems
from orchestrator.store.records import moment, readable, reading
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore, read_verdict

_IMPORT_SESSION: Final = Script("sessions/import_session")
_LANES: Final = (Lane.HIGH, Lane.NORMAL, Lane.LOW)
_PARKED, _DELAYED, _USERS, _TURNS, _BATCHES, PHASES = 3, 4, 5, 6, 7, 8
_OPEN: Final = frozenset({TaskStatus.PENDING, TaskStatus.WAITING, TaskStatus.RETRYING})
# What belongs to the place where a record is, and not to the task.
_LOCAL: Final = frozenset({"entry", "node", "parked", "turn_of_user", "emitted", "claimed_at", "batch_id", "steps"})

_CHUNK_BYTES: Final = 2**20
_RECORDS_AT_ONCE, _LISTS_AT_ONCE = 16, 20
"""So many are asked for in one round trip: a record may have some megabytes, a list as many tasks as a chunk."""
_LISTS: Final = 100
_LAST_ENTRY: Final = (2**64 - 1, 2**64 - 1)
"""No entry can follow it, and Redis refuses to be asked for one."""
_LAST_PLACE: Final = 2**53
"""Beyond the end of each list; a position may name greater numbers, which Redis takes for none."""

Position = tuple[int, int]
"""Where to go on in a place: behind an entry of a stream, by the two numbers of its id; elsewhere behind so many tasks,
or in which list behind how many."""


@frozen
class TransferRow:
    """A task, when it is due, and where to go on behind it."""

    task_id: str
    due_ms: int | None
    after: Position


class SessionImport(StrEnum):
    """What became of a session that was to be taken in."""

    OK = "ok"
    KNOWN = "known"
    FULL = "full"


class TransferStore(TenantStore):
    """A tenant's queued work, place by place: lanes, put aside, delayed, behind others of their users, turns, items."""

    async def chunk(
        self, tenant_id: str, phase: int, position: Position | None, count: int
    ) -> tuple[list[TransferItem], tuple[int, Position | None] | None]:
        """Read on from a position.

        Args:
            tenant_id: whose work.
            phase: which place, below `PHASES`.
            position: where to go on in it; None: at its start.
            count: how many tasks at most; fewer where their records have more than a megabyte.

        Returns:
            Tasks, each after its session; and where to go on, or None at the end.
        """
        if phase == _BATCHES:
            items, end = await self._waiting_items(tenant_id, position, count)
            return items, None if end is None else (phase, end)
        if phase <= _PARKED:
            rows, end = await self._stream(tenant_id, phase, position, count)
        elif phase == _DELAYED:
            rows, end = await self._delayed(tenant_id, position, count)
        else:
            rows, end = await self._lists(tenant_id, phase, position, count)
        items, unread = await self._items(tenant_id, rows)
        if unread:
            end = rows[-unread - 1].after
        if end is not None:
            return items, (phase, end)
        return items, (phase + 1, None) if phase + 1 < PHASES else None

    async def import_session(
        self, tenant_id: str, item: TransferItem, *, retain_seconds: int
    ) -> tuple[SessionImport, str]:
        """Create a session. The record of a closed one is kept for `retain_seconds`.

        Returns:
            What became of it, and the quota that refuses it, or nothing.
        """
        fields = {**item.fields, "epoch": new_epoch(), "tenant_id": tenant_id}
        if fields["state"] == "PROCESSING":
            fields["state"] = "ACTIVE"
        reply = await self.run(
            _IMPORT_SESSION,
            tenant_id,
            item.id,
            retain_seconds,
            self.limit_defaults["sessions"],
            self.limit_defaults["bytes"],
            *self.contents.seal_fields(tenant_id, "session", fields),
        )
        return read_verdict(SessionImport, reply)

    async def welcome(self, tenant_id: str) -> str:
        """Make a tenant known, and return its state."""
        await self.note_tenant(tenant_id)
        state = await self.redis.hget(self.keys.tenant_config(tenant_id), "state")
        return state.decode(errors="replace") if state else "active"

    async def _stream(
        self, tenant_id: str, phase: int, position: Position | None, count: int
    ) -> tuple[list[TransferRow], Position | None]:
        keys = self.keys
        if position == _LAST_ENTRY:
            return [], None
        stream = keys.parked(tenant_id) if phase == _PARKED else keys.lane(tenant_id, _LANES[phase])
        start = "-" if position is None else f"({position[0]}-{position[1]}"
        entries = await self.redis.xrange(stream, start, "+", count)
        rows = readable(_row, [(entry, fields) for entry, fields in entries if b"task_id" in fields])
        return rows, _position(entries[-1][0]) if len(entries) == count else None

    async def _delayed(
        self, tenant_id: str, position: Position | None, count: int
    ) -> tuple[list[TransferRow], Position | None]:
        start = min(position[0], _LAST_PLACE) if position else 0
        found = await self.redis.zrange(self.keys.delayed(tenant_id), start, start + count - 1, withscores=True)
        rows = [
            TransferRow(task_id.decode(errors="replace"), moment(score), (place, 0))
            for place, (task_id, score) in enumerate(found, start + 1)
        ]
        return rows, (start + count, 0) if len(rows) == count else None

    async def _lists(
        self, tenant_id: str, phase: int, position: Position | None, count: int
    ) -> tuple[list[TransferRow], Position | None]:
        """Read the lists of users or of sessions: as many as have the tasks of a chunk, a hundred at most."""
        start, passed = (min(number, _LAST_PLACE) for number in position or (0, 0))
        names = await self._list_names(tenant_id, phase, start)
        rows: list[TransferRow] = []
        for first in range(0, len(names), _LISTS_AT_ONCE):
            rows += await self._tasks_of(names[first : first + _LISTS_AT_ONCE], start + first, passed, count)
            if len(rows) >= count:
                return rows[:count], rows[count - 1].after
            passed = 0
        return rows, (start + len(names), 0) if len(names) == _LISTS else None

    async def _waiting_items(
        self, tenant_id: str, position: Position | None, count: int
    ) -> tuple[list[TransferItem], Position | None]:
        first, second = (min(number, _LAST_PLACE) for number in position or (0, 0))
        items = WaitingItems(self.redis, self.keys, self.log_length, self.limit_defaults, self.contents)
        return await items.chunk(tenant_id, (first, second), count, _CHUNK_BYTES)

    async def _list_names(self, tenant_id: str, phase: int, start: int) -> list[str]:
        keys = self.keys
        if phase == _USERS:
            users = sorted(
                name.decode(errors="replace") for name in await self.redis.hkeys(keys.users(tenant_id)) if name
            )
            return [keys.user_tasks(tenant_id, user) for user in users[start : start + _LISTS]]
        sessions = await self.redis.zrange(keys.sessions(tenant_id), start, start + _LISTS - 1)
        return [keys.turns(tenant_id, session.decode(errors="replace")) for session in sessions]

    async def _tasks_of(self, names: Sequence[str], number: int, passed: int, count: int) -> list[TransferRow]:
        """Read lists, of which the first has a number, and so many tasks that were read before."""
        before = [passed, *[0] * (len(names) - 1)]
        commands = [("LRANGE", name, skip, skip + count - 1) for name, skip in zip(names, before, strict=True)]
        replies = await self.redis.gather(commands, raise_on_error=False)
        return [
            TransferRow(task_id.decode(errors="replace"), None, (number + place, of_list))
            for place, (reply, skip) in enumerate(zip(replies, before, strict=True))
            for tasks in readable(list, [reply])
            for of_list, task_id in enumerate(tasks, skip + 1)
        ]

    async def _items(self, tenant_id: str, rows: Sequence[TransferRow]) -> tuple[list[TransferItem], int]:
        """Read tasks and their sessions, until they have the bytes of a chunk; returns how many rows are left, too."""
        items: list[TransferItem] = []
        sessions: set[str] = set()
        size = read = 0
        while read < len(rows) and size < _CHUNK_BYTES:
            part = rows[read : read + _RECORDS_AT_ONCE]
            read += len(part)
            tasks = await self._open_tasks(tenant_id, part)
            names = {item.fields["session_id"]: None for item in tasks if "session_id" in item.fields}
            found = [*await self._sessions(tenant_id, [name for name in names if name not in sessions]), *tasks]
            sessions |= names.keys()
            size += sum(len(value) for item in found for value in item.fields.values())
            items += found
        return items, len(rows) - read

    async def _open_tasks(self, tenant_id: str, rows: Sequence[TransferRow]) -> list[TransferItem]:
        records = await self._records(tenant_id, "task", [self.keys.task(tenant_id, row.task_id) for row in rows])
        return [
            TransferItem(TransferKind.TASK, row.task_id, _portable(record), row.due_ms)
            for row, record in zip(rows, records, strict=True)
            if record.get("status") in _OPEN and "message" in record
        ]

    async def _sessions(self, tenant_id: str, names: Sequence[str]) -> list[TransferItem]:
        records = await self._records(tenant_id, "session", [self.keys.session(tenant_id, name) for name in names])
        return [
            TransferItem(TransferKind.SESSION, name, _portable(record))
            for name, record in zip(names, records, strict=True)
            if record
        ]

    async def _records(self, tenant_id: str, noun: str, keys: Sequence[str]) -> list[dict[str, str]]:
        """Read records; one that can't be read is empty here, as one that is gone, and logged."""
        if not keys:
            return []

        def read(reply: Mapping[bytes, bytes]) -> dict[str, str]:
            return _text(self.contents.open_record(tenant_id, noun, reply))

        replies = await self.redis.gather([("HGETALL", key) for key in keys], raise_on_error=False)
        return [next(iter(readable(read, [reply])), {}) for reply in replies]


def _row(entry: tuple[bytes, Mapping[bytes, bytes]]) -> TransferRow:
    name, fields = entry
    with reading("entry of task", fields[b"task_id"].decode(errors="replace")):
        due = int(float(fields[b"due"])) if b"due" in fields else None
        return TransferRow(fields[b"task_id"].decode(), due, _position(name))


def _position(entry: bytes) -> Position:
    moment, _, number = entry.partition(b"-")
    return int(moment), int(number)


def _text(record: Mapping[bytes, bytes]) -> dict[str, str]:
    with reading("task", record.get(b"task_id", b"").decode(errors="replace")):
        return {name.decode(): value.decode() for name, value in record.items()}


def _portable(record: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in record.items() if name not in _LOCAL}
