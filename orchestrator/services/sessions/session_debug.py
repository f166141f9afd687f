"""Everything known of a session.

Operators see what users and agents have said, for that is often what went wrong; it is written down who looked. What
nobody is shown here is what opens something: tokens, keys and the secrets of callbacks are not part of any of this.
"""

from typing import Any, Final

import orjson
from attrs import evolve, frozen

from orchestrator.errors import NotFound
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.common.timestamps import to_timestamp
from orchestrator.models.operations.session_debug import EventLogState, SessionDebug
from orchestrator.models.tasks.task import Task
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.views import session_not_found
from orchestrator.services.tasks.tasks import TaskService
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.operations.audit import AuditTrail

LAST_EVENTS: Final = 20
LAST_TASKS: Final = 20
ASKED_AT_ONCE: Final = 500
"""Tenants that are asked for a session in one go."""


@frozen
class SessionDebugger:
    """Looks at sessions."""

    sessions: SessionManager
    tasks: TaskService
    hub: EventHub
    audit: AuditTrail

    async def look(self, ctx: RequestContext, session_id: str) -> SessionDebug:
        """Return everything known of a session: of the request's tenant, or where it names none, of whichever has it.

        Raises:
            NotFound: there is no such session.
        """
        tenant_id = ctx.tenant_id or await self._tenant_of(session_id)
        ctx = evolve(ctx, principal=evolve(ctx.principal, tenant_id=tenant_id))
        session = await self.sessions.get(ctx, session_id)
        await self.audit.done(ctx, "debug.session", session_id, tenant_id=tenant_id)
        redis, keys = self.sessions.store.redis, self.sessions.store.keys
        record, events = keys.session(tenant_id, session_id), keys.events(tenant_id, session_id)
        marks, kept, last, states, waiting, messages, due, ttl = await redis.gather(
            [
                ("HMGET", record, "epoch", "offset"),
                ("XLEN", events),
                ("XREVRANGE", events, "+", "-", "COUNT", LAST_EVENTS),
                ("LRANGE", keys.states(tenant_id, session_id), 0, -1),
                ("LRANGE", keys.turns(tenant_id, session_id), 0, -1),
                ("XLEN", keys.history(tenant_id, session_id)),
                ("ZSCORE", keys.session_timers(tenant_id), session_id),
                ("TTL", record),
            ]
        )
        tasks = await self.tasks.list(ctx, session_id=session_id, limit=LAST_TASKS)
        return SessionDebug(
            session=session,
            states=[orjson.loads(state) for state in states],
            log=EventLogState(marks[0].decode(), int(marks[1]), kept, [*map(_frame, reversed(last))]),
            messages_kept=messages,
            followers=self.hub.followers(tenant_id, session_id),
            tasks=tasks.items,
            active_task=await self._task(ctx, session.active_task_id),
            waiting_tasks=[task_id.decode() for task_id in waiting],
            idle_move_at=None if due is None else to_timestamp(int(float(due))),
            forgotten_in_seconds=None if ttl < 0 else ttl,
        )

    async def _task(self, ctx: RequestContext, task_id: str | None) -> Task | None:
        try:
            return None if task_id is None else await self.tasks.get(ctx, task_id)
        except NotFound:
            # A session that names a task without record is the very thing that somebody is looking for.
            return None

    async def _tenant_of(self, session_id: str) -> str:
        redis, keys = self.sessions.store.redis, self.sessions.store.keys
        tenants: list[str] = sorted(name.decode() for name in await redis.smembers(keys.tenants))
        for start in range(0, len(tenants), ASKED_AT_ONCE):
            asked = tenants[start : start + ASKED_AT_ONCE]
            found = await redis.gather([("EXISTS", keys.session(tenant_id, session_id)) for tenant_id in asked])
            for tenant_id, there in zip(asked, found, strict=True):
                if there:
                    return tenant_id
        raise session_not_found(session_id)


def _frame(entry: list[Any]) -> dict[str, Any]:
    entry_id, flat = entry
    frame: dict[str, Any] = orjson.loads(
        LoggedEvent.from_entry(entry_id, dict(zip(flat[::2], flat[1::2], strict=True))).frame
    )
    return frame
