"""Rate limits as clients see them."""

from attrs import frozen


@frozen
class RateState:
    """Where a client stands in its rate limit, for the `RateLimit` headers."""

    limit: int
    """Requests in a window."""
    remaining: int
    reset_seconds: float
    """Until the whole limit is there again."""
    window_seconds: float
