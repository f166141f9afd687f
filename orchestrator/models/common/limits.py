"""Rate limits as clients see them."""

from enum import StrEnum

from attrs import frozen


class RateClass(StrEnum):
    """What a request is to the limits: each class has one of its own, beside those of tenant and user."""

    READ = "read"
    WRITE = "write"
    STREAM = "stream"
    ADMIN = "admin"


@frozen
class RateState:
    """Where a client stands in its rate limit, for the `RateLimit` headers."""

    limit: int
    """Requests in a window."""
    remaining: int
    reset_seconds: float
    """Until the whole limit is there again."""
    window_seconds: float
