"""Packing what has ended: records of tasks and the event logs of sessions take a fraction of the memory then.

Both are kept for days, and hardly ever read. A record keeps what lists and scripts look at in fields of its own; its
message, result, steps and checkpoints go into one packed value. The entries of a log go into packs, which stand in a
list beside it. Readers get both as if nothing had been done (`Contents.open_record`, `EventLog.read`). A record or a
log that could not be packed stays as it was: that costs memory, and nothing else.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import structlog
import trio

from orchestrator.errors import TenantDamaged
from orchestrator.models.tasks.task import Lane
from orchestrator.store import packed
from orchestrator.store.contents import KEPT, MARK
from orchestrator.store.records import reading
from orchestrator.store.redis.errors import ScriptMissing
from orchestrator.store.script import Script
from orchestrator.store.tenant_store import TenantStore

_PACK_TASK: Final = Script("packing/pack_task")
_PACK_LOG: Final = Script("packing/pack_log")
_PACKED: Final = frozenset({b"message", b"result", b"error", b"retry_error", b"steps", b"progress", b"figures"})
_PACKED_ALL: Final = (b"checkpoint:", b"order:")
"""Fields that no script reads once a task has ended."""
_MOST_BYTES: Final = 65_536
"""More is packed by parts, or not at all: packing holds up the loop, for about 1 ms."""
_LOG_ENTRIES: Final = 1000
_log = structlog.get_logger("orchestrator.store.packing")

Call = tuple[Script, list[str], list[Any]]
"""A script with its keys and arguments."""


class _Entry(NamedTuple):
    """An entry of a log, as it is stored."""

    offset: int
    epoch: bytes
    name: bytes
    body: bytes

    @classmethod
    def read(cls, entry_id: bytes, fields: Mapping[bytes, bytes]) -> Self:
        return cls(int(entry_id.partition(b"-")[2]), fields[b"e"], fields[b"n"], fields[b"b"])


class PackingStore(TenantStore):
    """Packs what has ended."""

    async def pack(self, tenant_id: str, task_ids: Sequence[str], session_ids: Sequence[str]) -> int:
        """Pack the records of tasks that have ended, and the event logs of sessions in which no turn runs.

        A log of sealed events stays as it is: to open each of them would cost more than the turns themselves.

        Returns:
            How many records and logs were packed.

        Raises:
            StoreUnavailable: Redis is away.
        """
        logs = [] if self.contents.key_id else session_ids
        reads: list[tuple[Any, ...]] = [("HGETALL", self.keys.task(tenant_id, task_id)) for task_id in task_ids]
        reads += [("XRANGE", self.keys.events(tenant_id, one), "-", "+", "COUNT", _LOG_ENTRIES) for one in logs]
        replies = await self.redis.gather(reads, raise_on_error=False)
        makers: list[tuple[Callable[..., Call | None], str]] = [(self._pack_task, task_id) for task_id in task_ids]
        makers += [(self._pack_log, one) for one in logs]
        calls = []
        for (make, name), reply in zip(makers, replies, strict=True):
            try:
                if isinstance(reply, TenantDamaged):
                    raise reply
                call = make(tenant_id, name, reply)
            except TenantDamaged as damage:
                _log.error("record.damaged", error=damage.reason)
                continue
            if call is not None:
                calls.append(call)
                await trio.lowlevel.checkpoint()
        done = await self.redis.gather(
            [script.command(keys, args) for script, keys, args in calls], raise_on_error=False
        )
        packed_now = 0
        for (script, keys, args), reply in zip(calls, done, strict=True):
            # What was refused is left as it is; a script that the server has forgotten is sent.
            found = await script(self.redis, keys=keys, args=args) if isinstance(reply, ScriptMissing) else reply
            packed_now += found == 1
        return packed_now

    def _pack_task(self, tenant_id: str, task_id: str, record: Mapping[bytes, bytes]) -> Call | None:
        going = {name: value for name, value in record.items() if _is_packed(name)}
        size = sum(map(len, going.values()))
        if b"finished_at" not in record or not going or size > _MOST_BYTES or packed.whole(record) is not None:
            return None
        opened = self.contents.open_record(tenant_id, "task", going)
        kept = self.contents.seal_bytes(tenant_id, KEPT, packed.pack_fields(opened))
        gone = (part for name, value in going.items() for part in (name, _mark_of(value)))
        new = (part for piece in packed.pieces(kept) for part in piece)
        return _PACK_TASK, self._keys_of(tenant_id), [*self._head(tenant_id), task_id, len(going), *gone, *new]

    def _pack_log(self, tenant_id: str, session_id: str, entries: list[Any]) -> Call | None:
        with reading("event log", session_id):
            events = [_Entry.read(at, dict(zip(flat[::2], flat[1::2], strict=True))) for at, flat in entries]
        if not events or any(MARK in event.body or event.epoch != events[0].epoch for event in events):
            return None
        packs = []
        for part in _parts(events):
            head = b"%d %d %b\n" % (part[0].offset, part[-1].offset, part[0].epoch)
            packs.append(head + packed.pack_events([(event.name, event.body) for event in part]))
        ends = (events[0].offset, events[-1].offset, events[0].epoch)
        keys = [*self._keys_of(tenant_id), self.keys.session(tenant_id, session_id)]
        return _PACK_LOG, keys, [*self._head(tenant_id), *ends, *packs]

    def _keys_of(self, tenant_id: str) -> list[str]:
        return [self.keys.lane(tenant_id, Lane.NORMAL)]

    def _head(self, tenant_id: str) -> list[Any]:
        return [self.keys.tenant(tenant_id), self.log_length]


def _mark_of(value: bytes) -> str:
    """Return by what the script knows a value again: contents that are sealed anew have the same length."""
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


def _is_packed(name: bytes) -> bool:
    return name in _PACKED or name.startswith(_PACKED_ALL)


def _parts(events: list[_Entry]) -> Iterator[list[_Entry]]:
    """Yield events in lists of moderate size."""
    part: list[_Entry] = []
    size = 0
    for event in events:
        if part and size + len(event.body) > _MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(event)
        size += len(event.body)
    if part:
        yield part
