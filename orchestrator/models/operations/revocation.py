"""Revoked tokens."""

from typing import Annotated

from attrs import frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp

TokenId = Annotated[str, Meta(min_length=1, max_length=256, description="The token's `jti`.")]


@frozen
class TokenRevoke:
    """Which tokens: one, or all of a user (everywhere, or in a tenant) or of a tenant that were issued until now."""

    jti: TokenId | None = None
    user_id: Id | None = None
    tenant_id: Id | None = None


@frozen
class TokenRevoked:
    """Tokens that are good no more."""

    revoked_at: Annotated[Timestamp, Meta(description="Tokens that were issued before are meant.")]
    kept_until: Annotated[Timestamp, Meta(description="By then all of them would have expired anyway.")]


@frozen
class Revocation:
    """What is kept of it; what was not named is empty."""

    jti: str
    user_id: str
    tenant_id: str
    before_ms: int
    """Tokens issued before this moment are meant, by Redis' clock."""
    until_ms: int
