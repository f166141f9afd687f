"""Breakers, as operators see them: which service is left alone, by which process."""

from enum import StrEnum


class Criticality(StrEnum):
    """How much depends on a service: the more, the sooner it is left alone, and the sooner it is tried again."""

    CRITICAL = "critical"
    STANDARD = "standard"
    NON_CRITICAL = "non_critical"


class BreakerState(StrEnum):
    """Whether a service is called."""

    CLOSED = "closed"
    """It is."""
    OPEN = "open"
    """It is left alone for a while."""
    HALF_OPEN = "half_open"
    """One call at a time finds out whether it is well again."""
