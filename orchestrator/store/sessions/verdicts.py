"""What the scripts of sessions decide."""

from enum import StrEnum

from attrs import frozen

from orchestrator.models.sessions.session import SessionState
from orchestrator.store.records import reading


class SessionCreateVerdict(StrEnum):
    """What `create` decided."""

    OK = "ok"
    REPLAYED = "replayed"
    """The same request has created it before."""
    REUSED = "reused"
    """The idempotency key came with another request."""
    TENANT = "tenant"
    """The tenant drains, or is drained."""
    RATE = "rate"
    FULL = "full"
    """A quota of the tenant is reached."""


@frozen
class SessionCreation:
    """The verdict, and what comes with it."""

    verdict: SessionCreateVerdict
    detail: str = ""
    """The session (OK, REPLAYED), the state of the tenant, or the name of the quota or of the rate limit."""
    wait_ms: int = 0
    """How long to wait (RATE), or until the nearer limit is whole (OK)."""
    window: int = 0
    """Requests in the window of that limit (OK)."""
    left: int = 0
    """Of these."""


class SessionMoveVerdict(StrEnum):
    """What `move` decided."""

    OK = "ok"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    """The session is in none of the states that it may leave."""


class SessionUpdateVerdict(StrEnum):
    """What `update` decided."""

    OK = "ok"
    UNKNOWN = "unknown"
    CLOSED = "closed"
    REFUSED = "refused"
    """Its state is none of those that were named."""
    FULL = "full"
    """A quota of the tenant is reached."""


class AgentAssignVerdict(StrEnum):
    """What `assign` decided."""

    OK = "ok"
    UNKNOWN = "unknown"
    CLOSED = "closed"
    BUSY = "busy"


class SessionCloseVerdict(StrEnum):
    """What `close` decided."""

    OK = "ok"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    """The session was closed before."""
    EARLY = "early"
    """It is not to be closed yet."""


@frozen
class DueSessions:
    """Sessions that something is to be done with, by Redis' clock."""

    idle: list[str]
    """Their idle timer has run out; the longest idle first."""
    over: list[str]
    """Their time is over."""


def read_state(session_id: str, word: str) -> SessionState:
    """Read the state that a script has told of a session."""
    with reading("session", session_id):
        return SessionState(word)
