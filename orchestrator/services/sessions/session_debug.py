"""Everything known of a session.

Operators see what users and agents have said, for that is often what went wrong; it is written down who looked. What
is never shown is what opens something: tokens, keys and the secrets of callbacks are not part of any of this.
"""

from typing import Any, Final

import orjson
from attrs import evolve, frozen

from orchestrator.errors import NotFound
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.operations.session_debug import EventLogState, SessionDebug
from orchestrator.models.tasks.task import Task
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.services.shared.views import session_not_found
from orchestrator.services.tasks.tasks import TaskFilter, TaskService
from orchestrator.store.events.event_hub import EventHub
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.sessions.session_traces import SessionTraces

LAST_EVENTS: Final = 20
_SHOWN: Final = 200
"""So many bytes of what can't be read are shown."""
LAST_TASKS: Final = 20


@frozen
class SessionDebugger:
    """Looks at sessions."""

    sessions: SessionManager
    traces: SessionTraces
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
        trace = await self.traces.read(tenant_id, session_id, events=LAST_EVENTS)
        tasks = await self.tasks.list(ctx, TaskFilter(session_id=session_id), limit=LAST_TASKS)
        return SessionDebug(
            session=session,
            states=[_shown(state) for state in trace.states],
            log=EventLogState(
                trace.epoch, trace.offset, trace.events_kept, [_shown(event.frame) for event in trace.last_events]
            ),
            messages_kept=trace.messages_kept,
            followers=self.hub.followers(tenant_id, session_id),
            tasks=tasks.items,
            active_task=await self._task(ctx, session.active_task_id),
            waiting_tasks=[*trace.waiting_tasks],
            idle_move_at=trace.idle_move_at,
            forgotten_in_seconds=trace.forgotten_in_seconds,
        )

    async def _task(self, ctx: RequestContext, task_id: str | None) -> Task | None:
        try:
            return None if task_id is None else await self.tasks.get(ctx, task_id)
        except NotFound:
            # A session that names a task without record is the very thing that an operator is looking for.
            return None

    async def _tenant_of(self, session_id: str) -> str:
        tenant_id = await self.traces.tenant_of(session_id)
        if tenant_id is None:
            raise session_not_found(session_id)
        return tenant_id


def _shown(raw: bytes) -> dict[str, Any]:
    """Read an object; what is none is shown as the text that it is, since a damaged session is one to be looked at."""
    try:
        read = orjson.loads(raw)
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"unreadable": raw[:_SHOWN].decode(errors="replace")}
