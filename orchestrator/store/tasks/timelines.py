"""Timelines of requests, and what decides when a task starts."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.timeline import TraceStep, WaitFacts
from orchestrator.store.script import Script
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tenant_store import TenantStore

_WHY: Final = Script("operations/why_task")
_COUNTED: Final = 1000
_NEWEST: Final = 1000
"""So many steps of a request are shown."""
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
        listed = await self.redis.execute_command("LRANGE", self.keys.trace(tenant_id, correlation_id), 0, -1)
        task_ids = list(dict.fromkeys(raw.decode() for raw in listed))
        records = await self.redis.gather(
            [("HMGET", self.keys.task(tenant_id, task_id), "user_id", "steps") for task_id in task_ids]
        )
        rows = []
        for task_id, (owner, steps) in zip(task_ids, records, strict=True):
            if steps and (viewer.sees_whole_tenant or owner == viewer.user_id.encode()):
                rows += [(task_id, *line.split("\t")) for line in steps.decode().split("\n")]
        # Steps of the same millisecond stay as they were found: those of a task in their order.
        rows.sort(key=lambda row: int(row[1]))
        rows = rows[-_NEWEST:]
        start = int(rows[0][1]) if rows else 0
        return [
            TraceStep(to_timestamp(int(at)), int(at) - start, what, task_id, int(attempt), node, detail)
            for task_id, at, what, attempt, node, detail in rows
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
