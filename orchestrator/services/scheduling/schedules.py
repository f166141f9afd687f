"""Schedules as their owners see and change them."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import asdict, field, frozen

from orchestrator.codec import encode
from orchestrator.errors import NotFound, Unprocessable
from orchestrator.models.common.cron import next_moment
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.page import Page
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.tasks.schedule import Schedule, ScheduleCreate, ScheduleDeleted, ScheduleUpdate
from orchestrator.services.shared.paging import Period, Place, filtered_page
from orchestrator.services.shared.views import key_reused, quota_reached, viewer_of
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.records import reading
from orchestrator.store.scheduling.due import DueTenants
from orchestrator.store.scheduling.schedules import ScheduleChangeVerdict, ScheduleCreateVerdict, ScheduleStore

_TIMING: Final = frozenset({"cron", "timezone", "enabled"})


@frozen
class ScheduleFilter:
    """Which schedules of a list: those that meet all that is given."""

    agent_id: str | None = None
    user_id: str | None = None
    enabled: bool | None = None
    period: Period = field(factory=Period)
    """When they were created."""

    def takes(self, schedule: Schedule) -> bool:
        """Tell whether a schedule is one of them, the period left aside."""
        named = self.agent_id in {None, schedule.agent_id} and self.user_id in {None, schedule.user_id}
        return named and self.enabled in {None, schedule.enabled}


@frozen
class ScheduleService:
    """Creates, shows, changes and deletes schedules.

    Args:
        store: where they are.
        due: who is told of the next run.
        audit: where changes are recorded.
        limit: how many a tenant may have.
    """

    store: ScheduleStore
    due: DueTenants
    audit: AuditTrail

    async def create(self, ctx: RequestContext, request: ScheduleCreate) -> tuple[Schedule, bool]:
        """Create a schedule for the caller.

        Returns:
            The schedule, and whether an earlier request with the same idempotency key had already created it.

        Raises:
            IdempotencyKeyReused
            QueueFull: the tenant has as many as it may have.
        """
        key = ctx.idempotency_key or ctx.message_id
        schedule_id = _id_of(ctx, key) if key else new_id()
        next_ms = await self._next(request.cron, request.timezone, enabled=request.enabled)
        fields = {**_fields(asdict(request)), "user_id": ctx.principal.user_id}
        digest = hashlib.sha256(encode(request)).hexdigest()
        verdict, quota = await self.store.create(ctx.tenant_id, schedule_id, fields, next_ms=next_ms, digest=digest)
        if verdict is ScheduleCreateVerdict.REUSED:
            raise key_reused()
        if verdict is ScheduleCreateVerdict.FULL:
            raise quota_reached(quota)
        if verdict is ScheduleCreateVerdict.OK:
            await self._changed(ctx, "schedule.create", schedule_id, next_ms)
        return await self.get(ctx, schedule_id), verdict is ScheduleCreateVerdict.REPLAYED

    async def get(self, ctx: RequestContext, schedule_id: str) -> Schedule:
        """Return a schedule.

        Raises:
            NotFound: there is none that the caller may see.
        """
        schedule = await self.store.get(ctx.tenant_id, schedule_id)
        if schedule is None or not _sees(ctx, schedule):
            raise _not_found(schedule_id)
        return schedule

    async def list(
        self,
        ctx: RequestContext,
        wanted: ScheduleFilter | None = None,
        *,
        cursor: str | None = None,
        limit: int,
    ) -> Page[Schedule]:
        """List the caller's schedules, the newest first.

        Raises:
            InvalidParameter: the cursor is none of this list.
        """
        chosen = wanted or ScheduleFilter()

        async def places(*, before: Place | None, count: int) -> "list[Place]":
            return await self.store.page(ctx.tenant_id, before=before, count=count)

        async def load(ids: "list[str]") -> dict[str, Schedule]:
            return {one.schedule_id: one for one in await self.store.load(ctx.tenant_id, ids)}

        def keep(schedule: Schedule) -> bool:
            return chosen.takes(schedule) and _sees(ctx, schedule)

        return await filtered_page(places, load, keep, cursor=cursor, limit=limit, period=chosen.period)

    async def update(self, ctx: RequestContext, schedule_id: str, request: ScheduleUpdate) -> Schedule:
        """Change a schedule; one that is enabled again runs next at the first moment from now on.

        Raises:
            NotFound
        """
        before = await self.get(ctx, schedule_id)
        given = {name: value for name, value in asdict(request).items() if value is not None}
        timing = {name: given.get(name, getattr(before, name)) for name in _TIMING}
        with reading("schedule", schedule_id):
            next_ms = await self._next(timing["cron"], timing["timezone"], enabled=timing["enabled"])
        verdict, quota = await self.store.change(ctx.tenant_id, schedule_id, _fields(given), next_ms=next_ms)
        if verdict is ScheduleChangeVerdict.FULL:
            raise quota_reached(quota)
        if verdict is ScheduleChangeVerdict.UNKNOWN:
            raise _not_found(schedule_id)
        await self._changed(ctx, "schedule.update", schedule_id, next_ms)
        return await self.get(ctx, schedule_id)

    async def trigger(self, ctx: RequestContext, schedule_id: str) -> Schedule:
        """Run a schedule at once; its next run stays as its cron expression says.

        Raises:
            NotFound
            Unprocessable: it is paused.
        """
        schedule = await self.get(ctx, schedule_id)
        if not schedule.enabled:
            raise Unprocessable(f"The schedule {schedule_id} is paused: resume it first.")
        now = await self.store.now_ms()
        if (await self.store.change(ctx.tenant_id, schedule_id, {}, next_ms=now))[0] is ScheduleChangeVerdict.UNKNOWN:
            raise _not_found(schedule_id)
        await self._changed(ctx, "schedule.trigger", schedule_id, now)
        return await self.get(ctx, schedule_id)

    async def delete(self, ctx: RequestContext, schedule_id: str) -> ScheduleDeleted:
        """Delete a schedule; turns that came of it are left alone.

        Raises:
            NotFound
        """
        await self.get(ctx, schedule_id)
        if not await self.store.delete(ctx.tenant_id, schedule_id):
            raise _not_found(schedule_id)
        await self._changed(ctx, "schedule.delete", schedule_id, None)
        return ScheduleDeleted(schedule_id, deleted=True)

    async def _next(self, cron: str, timezone: str, *, enabled: bool) -> int | None:
        return next_moment(cron, timezone, await self.store.now_ms()) if enabled else None

    async def _changed(self, ctx: RequestContext, action: str, schedule_id: str, next_ms: int | None) -> None:
        if next_ms is not None:
            await self.due.mark(ctx.tenant_id, next_ms)
        await self.audit.done(ctx, action, schedule_id)


def _fields(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what is stored of a request's fields."""
    fields = {name: value for name, value in given.items() if value is not None}
    stored = {name: str(value) for name, value in fields.items() if name not in {"enabled", "metadata"}}
    if "enabled" in fields:
        stored["enabled"] = "1" if fields["enabled"] else "0"
    if "metadata" in fields:
        stored["metadata"] = orjson.dumps(fields["metadata"]).decode()
    return stored


def _id_of(ctx: RequestContext, key: str) -> str:
    """Return the id of the schedule that a request with this idempotency key creates, whenever it comes."""
    return hashlib.sha256(f"{ctx.tenant_id}:{ctx.principal.user_id}:{key}".encode()).hexdigest()[:32]


def _sees(ctx: RequestContext, schedule: Schedule) -> bool:
    viewer = viewer_of(ctx)
    return viewer.sees_whole_tenant or schedule.user_id == viewer.user_id


def _not_found(schedule_id: str) -> NotFound:
    return NotFound(f"There is no schedule {schedule_id}.")
