"""Routes of the administration of tokens."""

from orchestrator.models.common.limits import RateClass
from orchestrator.models.operations.revocation import TokenRevoke, TokenRevoked
from orchestrator.routes.http.registry import Access, RouteAnswer, RouteCall, Routes

token_routes = Routes()


@token_routes.add(
    "POST",
    "token.revoke",
    access=Access.ADMIN,
    body=TokenRevoke,
    answers="token.revoked",
    answer=TokenRevoked,
    rate_class=RateClass.ADMIN,
)
async def revoke(call: RouteCall) -> RouteAnswer:
    """Revoke a token, or all of a user or a tenant that were issued until now; their sockets are closed."""
    return RouteAnswer(await call.services.revocations.revoke(call.ctx, call.body))
