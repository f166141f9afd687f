"""Running schedules: when the moment of one has come, its message is sent, exactly once, whichever process does it.

A process takes a schedule for a minute, creates the session, sends the message, and moves the schedule on by compare
and set. Session and message have idempotency keys made of schedule and moment: if the process is lost in between,
another one does the same again, and finds what is there already.
"""

from typing import Final

import structlog
from attrs import evolve, frozen

from orchestrator.errors import NotFound, OrchestratorError, SessionClosed, StoreUnavailable, TenantDamaged
from orchestrator.models.common.cron import next_moment
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Principal, RequestContext, Role, TraceContext
from orchestrator.models.sessions.chat import ChatAccepted, ChatTurn
from orchestrator.models.sessions.session import SessionCreate
from orchestrator.models.tasks.schedule import MissedRuns, Schedule, SessionPolicy
from orchestrator.services.chat.messages import ChatService
from orchestrator.services.sessions.session_manager import SessionManager
from orchestrator.store.records import reading
from orchestrator.store.scheduling.schedules import DueSchedule, ScheduleStore

_log = structlog.get_logger("orchestrator.services.scheduling.schedule_runner")

PRIORITY: Final = 5
"""No user waits for a schedule: its turns queue in the normal lane, behind those of users."""
LATE_MS: Final = 60_000
"""A run that is later than this was missed."""


@frozen
class ScheduleRunner:
    """Runs what is due."""

    store: ScheduleStore
    sessions: SessionManager
    chat: ChatService

    async def run_due(self, tenant_id: str) -> int | None:
        """Run the schedules of a tenant whose moment has come; returns the moment (ms) at which to look again.

        Raises:
            StoreUnavailable: what was not run is run later, here or elsewhere.
        """
        taken = await self.store.take(tenant_id)
        following = [] if taken.following_ms is None else [taken.following_ms]
        for due in taken.due:
            try:
                moment = await self._run(due, taken.now_ms)
            except TenantDamaged as damage:
                # The others run; this one is looked at again after its lease.
                _log.error("schedule.damaged", tenant_id=tenant_id, error=damage.reason)
                continue
            following += [] if moment is None else [moment]
        return min(following, default=None)

    async def _run(self, due: DueSchedule, now_ms: int) -> int | None:
        """Run one schedule, for all the moments that it has missed; returns its next moment (ms)."""
        schedule = due.schedule
        with reading("schedule", schedule.schedule_id):
            following = next_moment(schedule.cron, schedule.timezone, max(due.moment_ms, now_ms))
        fields: dict[str, object] = {}
        if schedule.missed is MissedRuns.RUN_ONCE or now_ms - due.moment_ms <= LATE_MS:
            fields = await self._send(schedule, due.moment_ms)
        await self.store.settle(schedule.tenant_id, schedule.schedule_id, due.moment_ms, following, fields)
        return following

    async def _send(self, schedule: Schedule, moment_ms: int) -> dict[str, object]:
        ctx = _context(schedule, moment_ms)
        log = _log.bind(tenant_id=schedule.tenant_id, schedule_id=schedule.schedule_id)
        try:
            accepted = await self._accepted(ctx, schedule)
        except StoreUnavailable:
            raise
        except OrchestratorError as error:
            log.warning("schedule.not_run", code=error.code, reason=error.message)
            return {"last_run_at": moment_ms, "last_task_id": "", "last_error": f"{error.code}: {error.message}"}
        log.info("schedule.run", task_id=accepted.task_id)
        return {
            "last_run_at": moment_ms,
            "last_task_id": accepted.task_id,
            "last_error": "",
            "session_id": accepted.session_id,
        }

    async def _accepted(self, ctx: RequestContext, schedule: Schedule) -> ChatAccepted:
        kept = schedule.session is SessionPolicy.KEPT
        # While one run goes on in the session that all share, the next one would only repeat its question.
        key = f"schedule:{schedule.schedule_id}" if kept else None
        turn = ChatTurn(schedule.content, metadata={**(schedule.metadata or {}), "schedule_id": schedule.schedule_id})
        if kept and schedule.session_id is not None:
            try:
                return (await self.chat.send(ctx, schedule.session_id, turn, deduplication_key=key)).accepted
            except (NotFound, SessionClosed):
                _log.info("schedule.session_gone", schedule_id=schedule.schedule_id, session_id=schedule.session_id)
        request = SessionCreate(schedule.agent_id, metadata={"schedule_id": schedule.schedule_id})
        creating = evolve(ctx, idempotency_key=f"{ctx.idempotency_key}:session")
        session = (await self.sessions.create(creating, request)).session
        return (await self.chat.send(ctx, session.session_id, turn, deduplication_key=key)).accepted


def _context(schedule: Schedule, moment_ms: int) -> RequestContext:
    """Make the request that the schedule's owner would have made."""
    permissions = frozenset({"session:write", "chat:write"})
    principal = Principal(schedule.tenant_id, schedule.user_id, Role.USER, permissions, float("inf"))
    return RequestContext(
        principal,
        request_id=new_id(),
        correlation_id=new_id(),
        trace=TraceContext.new(),
        idempotency_key=f"schedule:{schedule.schedule_id}:{moment_ms}",
        priority=PRIORITY,
    )
