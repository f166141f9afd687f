"""Routes for those who look for what went wrong."""

from orchestrator.errors import NotFound
from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.session_debug import SessionDebug
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

debug_routes = Routes()


@debug_routes.add(
    "GET",
    "debug.session",
    access=Access.ADMIN,
    id_name="session_id",
    answers="debug.session",
    answer=SessionDebug,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def session(call: RouteCall) -> RouteAnswer:
    """Show everything known of a session: of the tenant in `X-Tenant-ID`, or of whichever has it."""
    return RouteAnswer(await call.services.session_debugger.look(call.ctx, call.id))
