"""Routes of tasks."""

from orchestrator.errors import NotFound
from orchestrator.models.common.limits import RateClass
from orchestrator.models.tasks.task import Task, TaskCancelled
from orchestrator.models.tasks.timeline import TaskWait, Timeline
from orchestrator.routes.http.paging import TaskQuery, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes
from orchestrator.services.shared.paging import Period
from orchestrator.services.tasks.tasks import TaskFilter

task_routes = Routes()


@task_routes.add(
    "GET",
    "task.get",
    permission="task:read",
    id_name="task_id",
    answers="task.details",
    answer=Task,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def get(call: RouteCall) -> RouteAnswer:
    """Show a task and what became of it."""
    return RouteAnswer(await call.services.tasks.get(call.ctx, call.id))


@task_routes.add(
    "GET",
    "task.list",
    permission="task:read",
    query=TaskQuery,
    answers="task.list",
    answer=Task,
    paged=True,
    rate_class=RateClass.READ,
)
async def list_tasks(call: RouteCall) -> RouteAnswer:
    """List tasks, the newest first."""
    query: TaskQuery = call.query
    wanted = TaskFilter(
        status=query.status,
        type=query.type,
        session_id=query.session_id,
        agent_id=query.agent_id,
        user_id=query.user_id,
        error_code=query.error_code,
        period=Period(query.since, query.until),
    )
    page = await call.services.tasks.list(call.ctx, wanted, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)


@task_routes.add(
    "POST",
    "task.cancel",
    permission="task:write",
    id_name="task_id",
    answers="task.cancelled",
    answer=TaskCancelled,
    errors=(NotFound,),
    rate_class=RateClass.WRITE,
)
async def cancel(call: RouteCall) -> RouteAnswer:
    """Stop a task; one that has ended stays as it is."""
    return RouteAnswer(await call.services.tasks.cancel(call.ctx, call.id))


@task_routes.add(
    "GET",
    "task.trace",
    permission="task:read",
    id_name="correlation_id",
    answers="task.trace",
    answer=Timeline,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def trace(call: RouteCall) -> RouteAnswer:
    """Show what happened to a request, step by step."""
    return RouteAnswer(await call.services.timelines.trace(call.ctx, call.id))


@task_routes.add(
    "GET",
    "task.why",
    permission="task:read",
    id_name="task_id",
    answers="task.why",
    answer=TaskWait,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def why(call: RouteCall) -> RouteAnswer:
    """Say what keeps a task waiting."""
    return RouteAnswer(await call.services.timelines.why(call.ctx, call.id))
