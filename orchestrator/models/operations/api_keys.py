"""API keys of services and operators, as operators see them."""

from enum import StrEnum
from typing import Annotated

from attrs import field, frozen
from msgspec import Meta

from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp


class Scope(StrEnum):
    """What an API key opens."""

    INTERNAL = "internal"
    ADMIN = "admin"
    METRICS = "metrics"


Scopes = Annotated[list[Scope], Meta(min_length=1, max_length=3, description="What the key opens.")]
Seconds = Annotated[float, Meta(ge=1, le=315_360_000)]
Grace = Annotated[float, Meta(ge=0, le=2_592_000, description="How long the old key stays good beside the new one.")]


@frozen
class ApiKeyCreate:
    """A key to be made."""

    name: Annotated[Id, Meta(description="Who it is for; the audit trail names it.")]
    scopes: Scopes = field(factory=lambda: [Scope.INTERNAL])
    tenant_id: Annotated[Id | None, Meta(description="The only tenant that it is good for; null: all.")] = None
    ttl_seconds: Annotated[Seconds | None, Meta(description="How long it is good; null: until it is revoked.")] = None


@frozen
class ApiKeyRotate:
    """A key to be replaced by a new one."""

    grace_seconds: Grace = 3600.0
    ttl_seconds: Annotated[Seconds | None, Meta(description="How long the new key is good; null: no end.")] = None


@frozen
class ApiKeyRecord:
    """A key without the key."""

    key_id: Id
    name: str
    scopes: list[Scope]
    created_at: Timestamp
    created_by: str
    tenant_id: str | None = None
    expires_at: Timestamp | None = None
    last_used_at: Annotated[Timestamp | None, Meta(description="To the minute; null: never.")] = None
    replaces: Annotated[str | None, Meta(description="The key that it was made in place of.")] = None


@frozen
class ApiKeyCreated:
    """A new key, which is shown this one time."""

    key: Annotated[str, Meta(description="What to send as `X-API-Key`; it is kept nowhere.")]
    record: ApiKeyRecord
