"""Making users' tokens, for development and small set-ups without an identity provider."""

import time
from collections.abc import Iterable
from typing import Any

import jwt

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role


def create_token(
    secret: str,
    tenant: str | Iterable[str],
    user: str,
    role: Role = Role.USER,
    *,
    permissions: Iterable[str] | None = None,
    ttl: float = 3600.0,
    issuer: str = "",
    audience: str = "",
) -> str:
    """Make a token signed with HS256.

    Args:
        secret: the service's `jwt.secret`.
        tenant: the tenant, or all tenants that the token is good for.
        user: its holder.
        role: what its holder is.
        permissions: `domain:action` each; None: what the role may do.
        ttl: how long it is good, in seconds.
        issuer: its `iss`, if the service asks for one.
        audience: its `aud`, if the service asks for one.
    """
    now = time.time()
    claims: dict[str, Any] = {
        "sub": user,
        "role": role.value,
        "iat": int(now),
        "exp": now + ttl,
        "jti": new_id(),
    }
    if isinstance(tenant, str):
        claims["tenant_id"] = tenant
    else:
        claims["tenants"] = list(tenant)
    if permissions is not None:
        claims["permissions"] = sorted(permissions)
    if issuer:
        claims["iss"] = issuer
    if audience:
        claims["aud"] = audience
    return jwt.encode(claims, secret, algorithm="HS256")
