"""Who asks, and in what context."""

from enum import StrEnum
from secrets import token_hex

from attrs import frozen


class Role(StrEnum):
    """What a token's holder is to the platform."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"
    MONITOR = "monitor"
    SERVICE = "service"


@frozen
class Principal:
    """The verified holder of a token or an API key, bound to one tenant."""

    tenant_id: str
    user_id: str
    role: Role
    permissions: frozenset[str]
    """`domain:action` each; `domain:*`, `*:action` and `*` stand for many."""
    expires_at: float
    """Seconds since the Unix epoch, leeway included; `inf` for an API key."""
    token_id: str | None = None
    issued_at: float = 0.0
    """Seconds since the Unix epoch; 0 where the token does not say."""

    def may(self, permission: str) -> bool:
        """Tell whether `permission` (`domain:action`) was granted."""
        domain, _, action = permission.partition(":")
        return not self.permissions.isdisjoint((permission, f"{domain}:*", f"*:{action}", "*", "*:*"))

    @property
    def sees_whole_tenant(self) -> bool:
        """Whether sessions and tasks of the tenant's other users are visible."""
        return self.role in {Role.OPERATOR, Role.ADMIN} or self.may("session:admin")


@frozen
class TraceContext:
    """A W3C trace context: `traceparent` as it came in, or as it was begun here."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def new(cls) -> "TraceContext":
        """Begin a trace."""
        return cls(token_hex(16), token_hex(8))

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


@frozen
class RequestContext:
    """What travels with a request from the door to the last service that it reaches."""

    principal: Principal
    request_id: str
    correlation_id: str
    trace: TraceContext
    message_id: str | None = None
    idempotency_key: str | None = None
    priority: int | None = None
    """0 (highest) to 9, where the client named one."""
    remote_address: str = ""

    @property
    def tenant_id(self) -> str:
        """The tenant that everything in this request belongs to."""
        return self.principal.tenant_id
