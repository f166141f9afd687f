"""Internal routes by which services tell of work that was handed on to them."""

from orchestrator.errors import NotFound, PermissionMissing, Unprocessable
from orchestrator.models.common.limits import RateClass
from orchestrator.models.tasks.task_updates import TaskComplete, TaskFail, TaskProgress, TaskUpdated
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

task_update_routes = Routes()

_ERRORS = (NotFound, PermissionMissing, Unprocessable)


@task_update_routes.add(
    "POST",
    "task.progress",
    access=Access.INTERNAL,
    body=TaskProgress,
    id_name="task_id",
    answers="task.updated",
    answer=TaskUpdated,
    errors=_ERRORS,
    rate_class=RateClass.WRITE,
)
async def progress(call: RouteCall) -> RouteAnswer:
    """Tell how far the work is; those who follow the task are told."""
    return await _take(call)


@task_update_routes.add(
    "POST",
    "task.complete",
    access=Access.INTERNAL,
    body=TaskComplete,
    id_name="task_id",
    answers="task.updated",
    answer=TaskUpdated,
    own_rate=True,
    errors=_ERRORS,
    rate_class=RateClass.WRITE,
)
async def complete(call: RouteCall) -> RouteAnswer:
    """Hand in the result of the work; the task goes on with it. The first answer counts."""
    return await _take(call)


@task_update_routes.add(
    "POST",
    "task.fail",
    access=Access.INTERNAL,
    body=TaskFail,
    id_name="task_id",
    answers="task.updated",
    answer=TaskUpdated,
    own_rate=True,
    errors=_ERRORS,
    rate_class=RateClass.WRITE,
)
async def fail(call: RouteCall) -> RouteAnswer:
    """Tell that the work has failed, and why; the task goes on with that."""
    return await _take(call)


async def _take(call: RouteCall) -> RouteAnswer:
    token = call.exchange.headers.get("x-callback-token")
    return RouteAnswer(await call.services.task_updates.take(call.ctx, call.id, token, call.body))
