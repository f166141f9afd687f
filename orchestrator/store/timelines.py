"""Timelines of requests, and what decides when a task starts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.models.task import TaskStatus
from orchestrator.models.timeline import TraceStep, WaitFacts
from orchestrator.models.timestamps import to_timestamp
from orchestrator.store.base import TenantStore
from orchestrator.store.scripts import Script
from orchestrator.store.sessions import Viewer

_WHY: Final = Script("why_task")
_COUNTED: Final = 1000
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
        key = self.keys.trace(viewer.tenant_id, correlation_id)
        rows = [
            (int(entry.split(b"-")[0]), {name: value.decode() for name, value in fields.items()})
            for entry, fields in await self.redis.xrange(key)
        ]
        if not viewer.sees_whole_tenant:
            task_ids = list({fields[b"t"] for _, fields in rows})
            owners = await self.redis.gather(
                [("HGET", self.keys.task(viewer.tenant_id, task_id), "user_id") for task_id in task_ids]
            )
            own = {task_id for task_id, owner in zip(task_ids, owners, strict=True) if owner == viewer.user_id.encode()}
            rows = [(at, fields) for at, fields in rows if fields[b"t"] in own]
        start = rows[0][0] if rows else 0
        return [
            TraceStep(
                to_timestamp(at), at - start, fields[b"w"], fields[b"t"], int(fields[b"a"]), fields[b"n"], fields[b"d"]
            )
            for at, fields in rows
        ]

    async def wait_facts(self, viewer: Viewer, task_id: str) -> WaitFacts | None:
        """Return what decides when a task starts; None: there is none that `viewer` may see."""
        key = self.keys.start_limit(viewer.tenant_id)
        reply = await self.run(_WHY, viewer.tenant_id, task_id, viewer.user_id, viewer.flag, _COUNTED, keys=[key])
        if not reply:
            return None
        facts = {}
        for raw, value in zip(reply[::2], reply[1::2], strict=True):
            name, text = raw.decode(), value.decode() if isinstance(value, bytes) else str(value)
            facts[name] = _READERS.get(name, _number)(text)
        return WaitFacts(task_id=task_id, **facts)


def _number(text: str) -> int:
    return int(float(text))
