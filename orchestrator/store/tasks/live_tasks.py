"""Tasks that have not ended, by the places that they stand in: few, where most tasks of a tenant have ended."""

from typing import Final

from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.store.records import moment
from orchestrator.store.tenant_store import TenantStore

LIVE: Final = frozenset({TaskStatus.PENDING, TaskStatus.PROCESSING, TaskStatus.RETRYING, TaskStatus.WAITING})
BOUND: Final = 2000
"""More tasks than these in one place are not listed by place: the newest tasks are among them anyway."""
_LISTS: Final = 500


class LiveTasks(TenantStore):
    """Finds tasks that have not ended."""

    async def live(self, tenant_id: str) -> list[tuple[int, str]] | None:
        """Return the (moment of acceptance in ms, id) of all live tasks, newest first; None: there are too many."""
        keys = self.keys
        streams = [*(keys.lane(tenant_id, lane) for lane in Lane), keys.parked(tenant_id)]
        *entries, delayed, users, sessions = await self.redis.gather(
            [
                *(("XRANGE", stream, "-", "+", "COUNT", BOUND + 1) for stream in streams),
                ("ZRANGE", keys.delayed(tenant_id), 0, BOUND),
                ("HKEYS", keys.users(tenant_id)),
                ("HKEYS", keys.turns_waiting(tenant_id)),
            ]
        )
        lists = [keys.user_tasks(tenant_id, name.decode(errors="replace")) for name in users if name]
        lists += [keys.turns(tenant_id, name.decode(errors="replace")) for name in sessions if name]
        if len(lists) > _LISTS:
            return None
        waiting = await self.redis.gather([("LRANGE", name, 0, BOUND) for name in lists]) if lists else []
        found = [list(delayed), *waiting]
        found += [
            [flat[at + 1] for _, flat in rows for at in range(0, len(flat), 2) if flat[at] == b"task_id"]
            for rows in entries
        ]
        if any(len(names) > BOUND for names in found):
            return None
        names = list({name.decode(errors="replace") for part in found for name in part})
        scores = await self.redis.execute_command("ZMSCORE", keys.task_index(tenant_id), *names) if names else []
        return sorted(
            ((moment(score), name) for name, score in zip(names, scores, strict=True) if score is not None),
            reverse=True,
        )
