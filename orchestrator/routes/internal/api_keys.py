"""Routes of the administration of API keys."""

from orchestrator.errors import NotFound, Unprocessable
from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.api_keys import ApiKeyCreate, ApiKeyCreated, ApiKeyRecord, ApiKeyRotate
from orchestrator.routes.http.paging import PageQuery, page_answer
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

api_key_routes = Routes()


@api_key_routes.add(
    "POST",
    "key.create",
    access=Access.ADMIN,
    body=ApiKeyCreate,
    answers="key.created",
    answer=ApiKeyCreated,
    status=201,
    errors=(Unprocessable,),
    rate_class=RateClass.ADMIN,
)
async def create(call: RouteCall) -> RouteAnswer:
    """Make an API key; the answer shows it this one time."""
    return RouteAnswer(await call.services.api_keys.create(call.ctx, call.body))


@api_key_routes.add(
    "GET",
    "key.list",
    access=Access.ADMIN,
    query=PageQuery,
    answers="key.list",
    answer=ApiKeyRecord,
    paged=True,
    rate_class=RateClass.ADMIN,
)
async def list_keys(call: RouteCall) -> RouteAnswer:
    """List API keys by name, without the keys themselves; those of the settings are not among them."""
    query: PageQuery = call.query
    return page_answer(await call.services.api_keys.list(cursor=query.cursor, limit=query.limit), query.limit)


@api_key_routes.add(
    "POST",
    "key.rotate",
    access=Access.ADMIN,
    id_name="key_id",
    body=ApiKeyRotate,
    answers="key.rotated",
    answer=ApiKeyCreated,
    status=201,
    errors=(NotFound, Unprocessable),
    rate_class=RateClass.ADMIN,
)
async def rotate(call: RouteCall) -> RouteAnswer:
    """Make an API key in place of another one, which stays good for a while."""
    return RouteAnswer(await call.services.api_keys.rotate(call.ctx, call.id, call.body))


@api_key_routes.add(
    "DELETE",
    "key.revoke",
    access=Access.ADMIN,
    id_name="key_id",
    answers="key.revoked",
    answer=ApiKeyRecord,
    errors=(NotFound,),
    rate_class=RateClass.ADMIN,
)
async def revoke(call: RouteCall) -> RouteAnswer:
    """Take an API key out of force, in all processes within two seconds; its sockets are closed."""
    return RouteAnswer(await call.services.api_keys.revoke(call.ctx, call.id))
