"""A schedule without a store, for tests of what the HTTP side alone decides."""

from typing import Any

from attrs import evolve

from orchestrator.errors import NotFound
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.schedule import (
    MissedRuns,
    Schedule,
    ScheduleCreate,
    ScheduleDeleted,
    ScheduleUpdate,
    SessionPolicy,
)

NOW = "2026-01-01T00:00:00.000Z"


class FakeSchedules:
    async def create(self, ctx: RequestContext, request: ScheduleCreate) -> tuple[Schedule, bool]:
        return evolve(await self.get(ctx, "sch1"), cron=request.cron, timezone=request.timezone), False

    async def get(self, ctx: RequestContext, schedule_id: str) -> Schedule:
        if schedule_id != "sch1":
            raise NotFound(f"There is no schedule {schedule_id}.")
        return Schedule(
            "sch1",
            ctx.tenant_id,
            ctx.principal.user_id,
            "0 8 * * *",
            "echo",
            "hi",
            "UTC",
            SessionPolicy.FRESH,
            MissedRuns.SKIP,
            enabled=True,
            created_at=NOW,
            updated_at=NOW,
            next_at=NOW,
        )

    async def list(self, ctx: RequestContext, **wanted: Any) -> Page[Schedule]:
        return Page([await self.get(ctx, "sch1")])

    async def update(self, ctx: RequestContext, schedule_id: str, request: ScheduleUpdate) -> Schedule:
        return evolve(await self.get(ctx, schedule_id), enabled=request.enabled is not False)

    async def delete(self, ctx: RequestContext, schedule_id: str) -> ScheduleDeleted:
        return ScheduleDeleted((await self.get(ctx, schedule_id)).schedule_id, deleted=True)
