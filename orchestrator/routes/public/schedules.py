"""Routes of schedules."""

from orchestrator.errors import IdempotencyKeyReused, NotFound, QueueFull, Unprocessable
from orchestrator.models.common.limits import RateClass
from orchestrator.models.tasks.schedule import Schedule, ScheduleCreate, ScheduleDeleted, ScheduleUpdate
from orchestrator.routes.http.paging import ScheduleQuery, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes
from orchestrator.services.scheduling.schedules import ScheduleFilter
from orchestrator.services.shared.paging import Period

schedule_routes = Routes()


@schedule_routes.add(
    "POST",
    "schedule.create",
    permission="workflow:execute",
    body=ScheduleCreate,
    answers="schedule.created",
    answer=Schedule,
    status=201,
    idempotent=True,
    errors=(IdempotencyKeyReused, QueueFull),
    rate_class=RateClass.WRITE,
)
async def create(call: RouteCall) -> RouteAnswer:
    """Send a message to an agent again and again, at moments that a cron expression names."""
    schedule, replayed = await call.services.schedules.create(call.ctx, call.body)
    return RouteAnswer(schedule, replayed=replayed)


@schedule_routes.add(
    "GET",
    "schedule.get",
    permission="workflow:read",
    id_name="schedule_id",
    answers="schedule.details",
    answer=Schedule,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def get(call: RouteCall) -> RouteAnswer:
    """Show a schedule, when it runs next, and what came of its last run."""
    return RouteAnswer(await call.services.schedules.get(call.ctx, call.id))


@schedule_routes.add(
    "GET",
    "schedule.list",
    permission="workflow:read",
    query=ScheduleQuery,
    answers="schedule.list",
    answer=Schedule,
    paged=True,
    rate_class=RateClass.READ,
)
async def list_schedules(call: RouteCall) -> RouteAnswer:
    """List schedules, the newest first."""
    query: ScheduleQuery = call.query
    wanted = ScheduleFilter(query.agent_id, query.user_id, query.enabled, Period(query.since, query.until))
    page = await call.services.schedules.list(call.ctx, wanted, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


@schedule_routes.add(
    "PUT",
    "schedule.update",
    permission="workflow:execute",
    id_name="schedule_id",
    body=ScheduleUpdate,
    answers="schedule.updated",
    answer=Schedule,
    errors=(NotFound,),
    rate_class=RateClass.WRITE,
)
async def update(call: RouteCall) -> RouteAnswer:
    """Change a schedule, or pause and resume it (`enabled`)."""
    return RouteAnswer(await call.services.schedules.update(call.ctx, call.id, call.body))


@schedule_routes.add(
    "POST",
    "schedule.trigger",
    rate_class=RateClass.WRITE,
    permission="workflow:execute",
    id_name="schedule_id",
    answers="schedule.triggered",
    answer=Schedule,
    errors=(NotFound, Unprocessable),
)
async def trigger(call: RouteCall) -> RouteAnswer:
    """Run a schedule now; its next run stays as its cron expression says."""
    return RouteAnswer(await call.services.schedules.trigger(call.ctx, call.id))


@schedule_routes.add(
    "DELETE",
    "schedule.delete",
    permission="workflow:execute",
    id_name="schedule_id",
    answers="schedule.deleted",
    answer=ScheduleDeleted,
    errors=(NotFound,),
    rate_class=RateClass.WRITE,
)
async def delete(call: RouteCall) -> RouteAnswer:
    """Delete a schedule; turns that came of it are left alone."""
    return RouteAnswer(await call.services.schedules.delete(call.ctx, call.id))
