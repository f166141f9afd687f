"""Who asks, and in what context."""

import re
from enum import StrEnum
from secrets import token_hex
from typing import Final

from attrs import frozen


class Role(StrEnum):
    """What a token's holder is to the platform."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"
    MONITOR = "monitor"
    SERVICE = "service"
    READER = "reader"


RANKS: Final = (Role.ADMIN, Role.OPERATOR, Role.SERVICE, Role.MONITOR, Role.USER, Role.READER)
"""All roles, the one that sees most first."""
_ADMINISTRATION: Final = "admin"
"""The action of every domain that reaches beyond what is one's own, such as `session:admin`."""
_ADMINISTRATIVE: Final = frozenset({"audit:read"})
"""What else is administration."""
_PLATFORM: Final = frozenset({"system:read", "telemetry:read"})
"""What concerns the platform and not a tenant: given by its name alone, also to an admin."""
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_STATE: Final = re.compile(r"[\x20-\x7e\t]*", re.ASCII)
LONGEST_STATE: Final = 512
"""Characters of a `tracestate` that are passed on, as the specification asks at least."""
_INCLUDED: Final = {"workflow:read": "workflow:execute"}
"""What another permission includes: a run that may be started may be followed."""


@frozen
class Principal:
    """The verified holder of a token or an API key, bound to one tenant."""

    tenant_id: str
    user_id: str
    """The token's user; of an API key, under which name belongs to it what it makes (`owner_of_key`)."""
    role: Role
    permissions: frozenset[str]
    """`domain:action` each; `domain:*`, `*:action` and `*` stand for many, but not for administration."""
    expires_at: float
    """Seconds since the Unix epoch, leeway included; `inf` for an API key without end."""
    token_id: str | None = None
    issued_at: float = 0.0
    """Seconds since the Unix epoch; 0 where the token does not say."""
    key_id: str | None = None
    """The API key in Redis by which the principal came; None: it came by something else."""
    signing_key: str | None = None
    """Fingerprint of the published key that the token was verified with; None: the shared secret, or no token."""
    key_name: str | None = None
    """The name of the API key; None: it came by a token."""

    @property
    def name(self) -> str:
        """Who it is to people: the user, or the name of the API key."""
        return self.user_id if self.key_name is None else self.key_name

    def may(self, permission: str) -> bool:
        """Tell whether `permission` (`domain:action`) was granted; administration only by its name, or to an admin."""
        domain, _, action = permission.partition(":")
        if permission in _PLATFORM:
            return permission in self.permissions
        if (action == _ADMINISTRATION or permission in _ADMINISTRATIVE) and self.role is not Role.ADMIN:
            return permission in self.permissions
        granting = {permission, f"{domain}:*", "*", "*:*"}
        # An admin who is to read everything (`*:read`) does not read who did what.
        if permission not in _ADMINISTRATIVE:
            granting.add(f"*:{action}")
        if permission in _INCLUDED:
            granting.add(_INCLUDED[permission])
        return not self.permissions.isdisjoint(granting)

    @property
    def sees_whole_tenant(self) -> bool:
        """Whether sessions and tasks of the tenant's other users are visible."""
        return self.role in {Role.OPERATOR, Role.ADMIN} or self.may("session:admin")

    @property
    def reads_only(self) -> bool:
        """Whether a permission to read allows no more than that, also where a route takes one for a small change."""
        return self.role in {Role.READER, Role.MONITOR}

    def covers(self, other: "Principal") -> bool:
        """Tell whether `other` may do nothing, and sees nothing, that this principal of the same user may not."""
        same_holder = (self.tenant_id, self.user_id) == (other.tenant_id, other.user_id)
        if not same_holder or (other.sees_whole_tenant and not self.sees_whole_tenant):
            return False
        return all(permission in self.permissions or self.may(permission) for permission in other.permissions)


@frozen
class TraceContext:
    """A W3C trace context: as it came in, as it was begun here, or that of a span."""

    trace_id: str
    span_id: str
    sampled: bool = True
    state: str = ""
    """The `tracestate`, which is passed on as it came; empty: there is none."""

    @classmethod
    def new(cls) -> "TraceContext":
        """Begin a trace."""
        return cls(token_hex(16), token_hex(8))

    @classmethod
    def read(cls, traceparent: str, state: str = "") -> "TraceContext | None":
        """Read a `traceparent` (W3C Trace Context, level 1); None where it is none.

        Args:
            traceparent: the header.
            state: the `tracestate` that came with it; one that is too long is left out.
        """
        parts = _TRACEPARENT.fullmatch(traceparent.strip())
        if parts is None:
            return None
        version, trace_id, span_id, flags, more = parts.groups()
        known = version != "ff" and (version != "00" or more is None)
        if not known or not trace_id.strip("0") or not span_id.strip("0"):
            return None
        kept = state if len(state) <= LONGEST_STATE and _STATE.fullmatch(state) else ""
        return cls(trace_id, span_id, bool(int(flags, 16) & 1), kept)

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
