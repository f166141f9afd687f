"""A tenant's books in Redis: reading them for the audit, and mending them.

Tasks, sessions and lane entries are read in parts, each part by one script at one moment: an audit never holds Redis up
for long, and work that goes on meanwhile is seen either before or after each of its steps.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar

from orchestrator.errors import TenantDamaged
from orchestrator.models.common.ids import new_epoch
from orchestrator.models.operations.consistency import (
    EntryStanding,
    SessionStanding,
    TaskStanding,
    Violation,
    ViolationKind,
)
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.store.consistency.damage import KINDS, DamageChecks
from orchestrator.store.consistency.derived import DERIVED, SHARED, DerivedStore
from orchestrator.store.consistency.strangers import StrangerStore
from orchestrator.store.records import reading
from orchestrator.store.script import Script

_TASKS: Final = Script("consistency/inspect_tasks")
_SESSIONS: Final = Script("consistency/inspect_sessions")
_LANE: Final = Script("consistency/inspect_lane")
_DEAD_LETTERS: Final = Script("consistency/inspect_dead_letters")
_MEND_TASK: Final = Script("consistency/mend_task")
_MEND_SESSION: Final = Script("consistency/mend_session")
_MEND_OFFSET: Final = Script("consistency/mend_offset")
_MEND_ENTRY: Final = Script("consistency/mend_entry")

_PART: Final = 200
_LETTERS: Final = 50
"""Each has a message with it, of up to a megabyte."""
_DAMAGED_PARTS: Final = 2
T = TypeVar("T")

_K = ViolationKind
_TASK_MENDS: Final = {
    _K.LOST: "requeue",
    _K.TWICE: "once",
    _K.LEFT_IN_LANE: "drop_entry",
    _K.LEFT_DELAYED: "drop_delay",
    _K.LEFT_IN_TURNS: "drop_turn",
    _K.LEFT_IN_INDEX: "drop_index",
    _K.NOT_ACTIVE: "activate",
    _K.CLAIMED_UNRECORDED: "restate",
    _K.WRONG_NODE: "restate",
}
_SESSION_MENDS: Final = frozenset({_K.ACTIVE_ENDED, _K.STUCK_PROCESSING, _K.TURNS_STUCK})
_ENTRY_MENDS: Final = frozenset({_K.ENTRY_UNRECORDED, _K.ENTRY_STRAY})


class ConsistencyStore(DamageChecks, DerivedStore, StrangerStore):
    """Reads and mends the books of tenants."""

    async def task_ids(self, tenant_id: str) -> AsyncIterator[list[str]]:
        """Yield the ids of all tasks that the index or the delayed tasks name, in parts; one may come twice."""
        for key in (self.keys.task_index(tenant_id), self.keys.delayed(tenant_id)):
            cursor = 0
            while True:
                cursor, rows = await self.redis.zscan(key, cursor, count=_PART)
                if rows:
                    yield [name.decode(errors="replace") for name, _ in rows]
                if cursor == 0:
                    break

    async def inspect_tasks(
        self, tenant_id: str, task_ids: Sequence[str]
    ) -> tuple[list[TaskStanding], list[Violation]]:
        """Read all that there is of tasks, at one moment; and say which of them can't be read."""
        rows = await self.run(_TASKS, tenant_id, *task_ids)
        return _standings(rows, _task, _K.TASK_DAMAGED)

    async def inspect_sessions(
        self, tenant_id: str, session_ids: Sequence[str]
    ) -> tuple[list[SessionStanding], list[Violation]]:
        """Read all that there is of sessions, at one moment; and say which of them can't be read."""
        rows = await self.run(_SESSIONS, tenant_id, *session_ids)
        return _standings(rows, _session, _K.SESSION_DAMAGED)

    async def turns(self, tenant_id: str, session_id: str) -> list[str]:
        """Return the tasks that wait for their turn in a session."""
        return [
            raw.decode(errors="replace")
            for raw in await self.redis.lrange(self.keys.turns(tenant_id, session_id), 0, -1)
        ]

    async def entries(self, tenant_id: str) -> AsyncIterator[list[EntryStanding]]:
        """Yield the entries of all lanes, in parts that are read at one moment each."""
        for lane in Lane:
            after = ""
            while True:
                rows = await self.run(_LANE, tenant_id, lane, after, _PART)
                if rows:
                    yield [_entry(lane, row) for row in rows]
                if len(rows) < _PART:
                    break
                after = rows[-1][0].decode()

    async def dead(self, tenant_id: str) -> set[str]:
        """Return the ids of the tasks among the dead letters."""
        dead, after = set[str](), b""
        while True:
            letters = await self.run(_DEAD_LETTERS, tenant_id, after, _LETTERS)
            dead.update(task_id.decode(errors="replace") for _, task_id in letters)
            if len(letters) < _LETTERS:
                return dead
            after = letters[-1][0]

    async def not_woken(self, tenant_id: str) -> bool:
        """Tell whether something of the tenant waits in a lane that no scheduler would look into."""
        lanes = [self.keys.lane(tenant_id, lane) for lane in Lane]
        ready, state, bound, *lengths = await self.redis.gather(
            [
                ("ZSCORE", self.keys.ready, tenant_id),
                ("HGET", self.keys.tenant_config(tenant_id), "state"),
                ("HMGET", self.keys.tenant_config(tenant_id), "concurrency", "start_rate"),
                *(("XLEN", lane) for lane in lanes),
            ]
        )
        if ready is not None or state not in {None, b"active"} or any(bound) or not any(lengths):
            return False
        pending = await self.redis.gather([("XPENDING", lane, "orchestrator") for lane in lanes], raise_on_error=False)
        claimed = sum(reply[0] for reply in pending if not isinstance(reply, Exception))
        return bool(sum(lengths) > claimed)

    async def not_timed(self, tenant_id: str) -> bool:
        """Tell whether the tenant has delayed tasks, and no timer that is set for the next."""
        first, due = await self.redis.gather(
            [
                ("ZRANGE", self.keys.delayed(tenant_id), 0, 0, "WITHSCORES"),
                ("ZSCORE", self.keys.due, tenant_id),
            ]
        )
        return bool(first) and (due is None or due > first[0][1])

    async def mend(
        self, tenant_id: str, fault: Violation, *, correlation_id: str, state_body: bytes, pause_after_ms: int
    ) -> bool:
        """Mend a fault if it is still there; tells whether it was.

        Args:
            tenant_id: whose it is.
            fault: what the audit found; only what `domain.books.REMEDIES` names is ever mended.
            correlation_id: the mender's.
            state_body: `session.state_update` for a session that becomes ACTIVE.
            pause_after_ms: idle time until a session is paused.
        """
        if fault.kind in KINDS or fault.kind in {_K.KEY_DAMAGED, _K.CONFIG_DAMAGED}:
            return await self.set_aside(tenant_id, fault)
        if fault.kind is _K.LEFT_IN_LIST:
            return await self.take_out(tenant_id, fault)
        if fault.kind in DERIVED:
            return await self.mend_derived(tenant_id, fault)
        if fault.kind in SHARED:
            return await self.mend_shared(tenant_id, fault)
        if fault.kind in _TASK_MENDS:
            return bool(await self.run(_MEND_TASK, tenant_id, fault.subject, _TASK_MENDS[fault.kind]))
        if fault.kind in _SESSION_MENDS:
            reply = await self.run(_MEND_SESSION, tenant_id, fault.subject, correlation_id, state_body, pause_after_ms)
            return bool(reply)
        if fault.kind is _K.WRONG_OFFSET:
            return bool(await self.run(_MEND_OFFSET, tenant_id, fault.subject, new_epoch()))
        if fault.kind in _ENTRY_MENDS:
            return bool(await self.run(_MEND_ENTRY, tenant_id, fault.lane, fault.subject))
        return False


def _standings(
    rows: Sequence[list[Any]], read: Callable[[list[Any]], T], kind: ViolationKind
) -> tuple[list[T], list[Violation]]:
    """Read the rows of an inspecting script, those of two parts excepted: they say what can't be read, and why."""
    standings, damaged = [], []
    for row in rows:
        name = row[0].decode(errors="replace")
        try:
            if len(row) == _DAMAGED_PARTS:
                raise TenantDamaged(row[1].decode(errors="replace"))
            with reading("subject", name):
                standings.append(read(row))
        except TenantDamaged as damage:
            damaged.append(Violation(kind, name, f"can't be read: {damage.reason}"))
    return standings, damaged


def _status(raw: bytes) -> TaskStatus | None:
    return TaskStatus(raw.decode()) if raw else None


def _task(row: list[Any]) -> TaskStanding:
    (task_id, status, lane, entry, node, session_id, there, consumer, delayed, turns, parked, state, active, indexed,
     behind) = row  # fmt: skip
    return TaskStanding(
        task_id=task_id.decode(),
        status=_status(status),
        lane=lane.decode(),
        entry=entry.decode(),
        node=node.decode(),
        session_id=session_id.decode(),
        entry_there=bool(there),
        consumer=consumer.decode(),
        delayed=bool(delayed),
        turns=turns,
        parked=bool(parked),
        session_state=state.decode(),
        session_active=active.decode(),
        indexed=bool(indexed),
        behind_user=bool(behind),
    )


def _session(row: list[Any]) -> SessionStanding:
    session_id, state, active, status, turns, offset, newest = row
    return SessionStanding(
        session_id=session_id.decode(),
        state=state.decode(),
        active_task_id=active.decode(),
        active_status=_status(status),
        turns=turns,
        offset=offset,
        last_event=int(newest) if newest else None,
    )


def _entry(lane: Lane, row: list[Any]) -> EntryStanding:
    entry, task_id, status, named = row
    name = task_id.decode(errors="replace")
    known = {one.encode(): one for one in TaskStatus}
    is_damaged = bool(status) and status not in known
    return EntryStanding(lane, entry.decode(), name, known.get(status), bool(named), is_damaged)
