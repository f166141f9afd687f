"""Timelines of requests, and what decides when a task starts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import frozen

from orchestrator.codec import decode_kept
from orchestrator.errors import TenantDamaged
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.task_updates import TaskProgress
from orchestrator.models.tasks.timeline import TraceStep, WaitFacts
from orchestrator.store.contents import ERROR, WORDS, Contents
from orchestrator.store.packed import PIECE_NAMES
from orchestrator.store.records import BEYOND, readable, reading
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tenant_store import TenantStore

_WHY: Final = Script("operations/why_task")
_COUNTED: Final = 1000
_NEWEST: Final = 1000
"""So many steps of a request are shown."""
_STEPS: Final = (b"user_id", b"steps", *PIECE_NAMES)
"""Fields in which the steps of a task are. The others may have megabytes, and a request a thousand tasks."""
_AT_ONCE: Final = 100
"""Tasks whose steps are read together."""
_NEWEST_OF_EACH: Final = 100
"""So many tasks of each user after the first one of a request, where operators see those of several."""
_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "status": TaskStatus,
    "start_rate": float,
    "queued": bool,
    "parked": bool,
    "ahead_is_more": bool,
    **dict.fromkeys(("tenant_state", "node", "waiting_for", "waiting_kind", "active_task_id"), str),
}
"""How a fact is read; those that are not here are whole numbers."""


class TimelineStore(TenantStore):
    """Reads what happened, and what is to come."""

    async def steps(self, viewer: Viewer, correlation_id: str) -> list[TraceStep]:
        """Return the steps of a request that `viewer` may see, in order; empty: there are none."""
        tenant_id = viewer.tenant_id
        # One that is not there is asked for all the same: how long it takes must not tell whether others' steps are.
        task_ids = await self._listed(viewer, correlation_id) or [""]
        read = partial(_steps, viewer, self.contents)
        rows: list[_Line] = []
        for start in range(0, len(task_ids), _AT_ONCE):
            part = task_ids[start : start + _AT_ONCE]
            records = await self.redis.gather(
                [("HMGET", self.keys.task(tenant_id, task_id), *_STEPS) for task_id in part], raise_on_error=False
            )
            rows += [row for found in readable(read, zip(part, records, strict=True)) for row in found]
        # Steps of the same millisecond stay as they were found: those of a task in their order.
        rows.sort(key=lambda row: row.at)
        rows = rows[-_NEWEST:]
        start = rows[0].at if rows else 0
        return [
            TraceStep(to_timestamp(row.at), row.at - start, row.what, row.task_id, row.attempt, row.node, row.detail)
            for row in rows
        ]

    async def _listed(self, viewer: Viewer, correlation_id: str) -> list[str]:
        """Return the tasks of a request: of its first user, and of the viewer, or of whom else there is."""
        keys, users = partial(self.keys.trace, viewer.tenant_id, correlation_id), [viewer.user_id]
        commands: list[tuple[Any, ...]] = [("LRANGE", keys(), 0, -1)]
        if viewer.sees_whole_tenant:
            users = sorted(raw.decode(errors="replace") for raw in await self.redis.smembers(keys("")))
        newest = -_NEWEST if len(users) == 1 else -_NEWEST_OF_EACH
        commands += [("LRANGE", keys(user), newest, -1) for user in users]
        found = [raw.decode(errors="replace") for listed in await self.redis.gather(commands) for raw in listed]
        return list(dict.fromkeys(found))

    async def statuses(self, tenant_id: str, task_ids: Sequence[str]) -> dict[str, TaskStatus]:
        """Return the statuses of tasks; those that can't be read are left out."""
        raw = await self.redis.gather(
            [("HGET", self.keys.task(tenant_id, task_id), "status") for task_id in task_ids], raise_on_error=False
        )
        known = {status.encode(): status for status in TaskStatus}
        return {
            task_id: known[status]
            for task_id, status in zip(task_ids, raw, strict=True)
            if isinstance(status, bytes) and status in known
        }

    async def weight(self, tenant_id: str) -> float:
        """Return a tenant's weight, as schedulers read it."""
        raw = await self.redis.hget(self.keys.weights, tenant_id)
        return next(iter(readable(_weight, [raw])), 1.0)

    async def wait_facts(self, viewer: Viewer, task_id: str) -> WaitFacts | None:
        """Return what decides when a task starts; None: there is none that `viewer` may see."""
        key = self.keys.start_limit(viewer.tenant_id)
        reply = await self.run(_WHY, viewer.tenant_id, task_id, viewer.user_id, viewer.flag, _COUNTED, keys=[key])
        if not reply:
            return None
        facts: dict[str, Any] = {}
        with reading("task", task_id):
            for raw, value in zip(reply[::2], reply[1::2], strict=True):
                if raw == b"progress":
                    facts["asks"] = self._asked(viewer.tenant_id, value)
                    continue
                if raw == b"retry_error":
                    facts["failed_with"] = self._failure(viewer.tenant_id, value)
                    continue
                name, text = raw.decode(), value.decode() if isinstance(value, bytes) else str(value)
                facts[name] = _READERS.get(name, _number)(text)
            return WaitFacts(task_id=task_id, **facts)

    def _asked(self, tenant_id: str, progress: bytes) -> str | None:
        """Return what a task asks a person, by its last progress; None: nothing, or it can't be read."""
        try:
            request = decode_kept(self.contents.open(tenant_id, WORDS, progress), TaskProgress).input_request
        except TenantDamaged:
            return None
        return None if request is None else request.prompt

    def _failure(self, tenant_id: str, kept: bytes) -> str:
        """Return the code and the message of a task's last failure; empty: it can't be read."""
        try:
            error = decode_kept(self.contents.open(tenant_id, ERROR, kept), ErrorBody)
        except TenantDamaged:
            return ""
        return f"{error.code}: {error.message.rstrip('.')}"


@frozen
class _Line:
    """A line of a record's steps."""

    task_id: str
    at: int
    what: str
    attempt: int
    node: str
    detail: str


def _steps(
    viewer: Viewer, contents: Contents, found: tuple[str, Sequence[bytes | None] | TenantDamaged]
) -> list[_Line]:
    """Read the steps of a task, as far as `viewer` may see it."""
    task_id, values = found
    if isinstance(values, TenantDamaged):
        raise values
    record = {name: value for name, value in zip(_STEPS, values, strict=True) if value is not None}
    if not viewer.sees_whole_tenant and record.get(b"user_id") != viewer.user_id.encode():
        return []
    steps = contents.open_record(viewer.tenant_id, "task", record).get(b"steps")
    return _lines(task_id, steps) if steps else []


def _lines(task_id: str, steps: bytes) -> list[_Line]:
    """Read the steps of a task."""
    with reading("timeline of task", task_id):
        lines = []
        for line in steps.decode().split("\n"):
            at, what, attempt, node, detail = line.split("\t")
            to_timestamp(int(at))
            lines.append(_Line(task_id, int(at), what, int(attempt), node, detail))
        return lines


def _weight(raw: bytes) -> float:
    with reading("weight", ""):
        weight = float(raw)
        return weight if 0 < weight < BEYOND else 1.0


def _number(text: str) -> int:
    return int(float(text))
