"""Reading a tenant's queued work, and creating its sessions elsewhere."""

import secrets
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from orchestrator.models.operations.transfer import TransferItem, TransferKind
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.store.records import moment, readable, reading
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore, read_verdict

_IMPORT_SESSION: Final = Script("sessions/import_session")
_LANES: Final = (Lane.HIGH, Lane.NORMAL, Lane.LOW)
_PARKED, _DELAYED, _USERS, _TURNS, PHASES = 3, 4, 5, 6, 7
_OPEN: Final = frozenset({TaskStatus.PENDING, TaskStatus.WAITING, TaskStatus.RETRYING})
# What belongs to the place where a record is, and not to the task.
_LOCAL: Final = frozenset({"entry", "node", "parked", "turn_of_user", "emitted", "claimed_at", "batch_id", "steps"})

TransferRow = tuple[str, int | None]
"""A task, and when it is due."""


class SessionImport(StrEnum):
    """What became of a session that was to be taken in."""

    OK = "ok"
    KNOWN = "known"
    FULL = "full"


class TransferStore(TenantStore):
    """A tenant's queued work, place by place: lanes, put aside, delayed, behind others of their users, turns."""

    async def chunk(
        self, tenant_id: str, phase: int, position: str, count: int
    ) -> tuple[list[TransferItem], tuple[int, str] | None]:
        """Read on from a position.

        Returns:
            Tasks, each after its session; and where to go on, or None at the end.
        """
        if phase <= _PARKED:
            found, following = await self._stream(tenant_id, phase, position, count)
        elif phase == _DELAYED:
            found, following = await self._delayed(tenant_id, int(position or 0), count)
        else:
            found, following = await self._lists(tenant_id, phase, int(position or 0))
        items = await self._items(tenant_id, found)
        if following is not None:
            return items, (phase, following)
        return items, (phase + 1, "") if phase + 1 < PHASES else None

    async def import_session(
        self, tenant_id: str, item: TransferItem, *, retain_seconds: int
    ) -> tuple[SessionImport, str]:
        """Create a session. The record of a closed one is kept for `retain_seconds`.

        Returns:
            What became of it, and the quota that refuses it, or nothing.
        """
        fields = {**item.fields, "epoch": secrets.token_hex(4), "tenant_id": tenant_id}
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
        return state.decode() if state else "active"

    async def _stream(
        self, tenant_id: str, phase: int, position: str, count: int
    ) -> tuple[list[TransferRow], str | None]:
        keys = self.keys
        stream = keys.parked(tenant_id) if phase == _PARKED else keys.lane(tenant_id, _LANES[phase])
        rows = await self.redis.xrange(stream, f"({position}" if position else "-", "+", count)
        found = readable(_row, [fields for _, fields in rows if b"task_id" in fields])
        return found, rows[-1][0].decode() if len(rows) == count else None

    async def _delayed(self, tenant_id: str, start: int, count: int) -> tuple[list[TransferRow], str | None]:
        rows = await self.redis.zrange(self.keys.delayed(tenant_id), start, start + count - 1, withscores=True)
        found: list[TransferRow] = [(task_id.decode(errors="replace"), moment(score)) for task_id, score in rows]
        return found, str(start + count) if len(rows) == count else None

    async def _lists(self, tenant_id: str, phase: int, start: int) -> tuple[list[TransferRow], str | None]:
        """Read the lists of a hundred users, or sessions."""
        keys, at_once = self.keys, 100
        if phase == _USERS:
            users = sorted(
                name.decode(errors="replace") for name in await self.redis.hkeys(keys.users(tenant_id)) if name
            )
            names = [keys.user_tasks(tenant_id, user) for user in users[start : start + at_once]]
        else:
            sessions = await self.redis.zrange(keys.sessions(tenant_id), start, start + at_once - 1)
            names = [keys.turns(tenant_id, session.decode(errors="replace")) for session in sessions]
        commands = [("LRANGE", name, 0, -1) for name in names]
        lists = readable(list, await self.redis.gather(commands, raise_on_error=False) if names else [])
        found: list[TransferRow] = [(task_id.decode(errors="replace"), None) for tasks in lists for task_id in tasks]
        return found, str(start + at_once) if len(names) == at_once else None

    async def _items(self, tenant_id: str, found: Sequence[TransferRow]) -> list[TransferItem]:
        if not found:
            return []
        records = await self._records(tenant_id, "task", [self.keys.task(tenant_id, task_id) for task_id, _ in found])
        open_tasks = [
            TransferItem(TransferKind.TASK, task_id, _portable(record), due)
            for (task_id, due), record in zip(found, records, strict=True)
            if record.get("status") in _OPEN and "message" in record
        ]
        names = list(dict.fromkeys(item.fields["session_id"] for item in open_tasks if "session_id" in item.fields))
        sessions = await self._records(tenant_id, "session", [self.keys.session(tenant_id, name) for name in names])
        return [
            *(
                TransferItem(TransferKind.SESSION, name, _portable(record))
                for name, record in zip(names, sessions, strict=True)
                if record
            ),
            *open_tasks,
        ]

    async def _records(self, tenant_id: str, noun: str, keys: Sequence[str]) -> list[dict[str, str]]:
        """Read records; one that can't be read is empty here, as one that is gone, and logged."""
        if not keys:
            return []

        def read(reply: Mapping[bytes, bytes]) -> dict[str, str]:
            return _text(self.contents.open_record(tenant_id, noun, reply))

        replies = await self.redis.gather([("HGETALL", key) for key in keys], raise_on_error=False)
        return [next(iter(readable(read, [reply])), {}) for reply in replies]


def _row(fields: Mapping[bytes, bytes]) -> TransferRow:
    with reading("entry of task", fields[b"task_id"].decode(errors="replace")):
        return fields[b"task_id"].decode(), int(float(fields[b"due"])) if b"due" in fields else None


def _text(record: Mapping[bytes, bytes]) -> dict[str, str]:
    with reading("task", record.get(b"task_id", b"").decode(errors="replace")):
        return {name.decode(): value.decode() for name, value in record.items()}


def _portable(record: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in record.items() if name not in _LOCAL}
