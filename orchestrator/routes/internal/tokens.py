"""Routes of the administration of tokens."""

from orchestrator.models.operations.revocation import TokenRevoke, TokenRevoked
from orchestrator.routes.http.registry import Access, Answer, Call, Routes

token_routes = Routes()


@token_routes.add(
    "POST", "token.revoke", access=Access.ADMIN, body=TokenRevoke, answers="token.revoked", answer=TokenRevoked
)
async def revoke(call: Call) -> Answer:
    """Revoke a token, or all of a user or a tenant that were issued until now; their sockets are closed."""
    return Answer(await call.services.revocations.revoke(call.ctx, call.body))
