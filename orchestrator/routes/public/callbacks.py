"""Routes of callbacks."""

from orchestrator.errors import NotFound
from orchestrator.models.common.limits import RateClass
from orchestrator.models.tasks.callback import CallbackAttempt
from orchestrator.routes.http.paging import PageQuery, page_answer
from orchestrator.routes.http.registry import RouteAnswer, RouteCall, Routes

callback_routes = Routes()


@callback_routes.add(
    "GET",
    "callback.list",
    permission="task:read",
    id_name="task_id",
    query=PageQuery,
    answers="callback.list",
    answer=CallbackAttempt,
    paged=True,
    errors=(NotFound,),
    rate_class=RateClass.READ,
)
async def list_attempts(call: RouteCall) -> RouteAnswer:
    """List the attempts to tell of the end of a task or batch, newest first; the id may also be that of a delivery."""
    query: PageQuery = call.query
    page = await call.services.callbacks.list(call.ctx, call.id, cursor=query.cursor, limit=query.limit)
    return page_answer(page, query.limit)
