"""Outcomes of calls, as breakers count them: who is to blame for a failure."""

from enum import StrEnum
from typing import Final

from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    ConnectionBroken,
    InvalidAnswer,
    OrchestratorError,
    ReportedFailure,
    ReportedTimeout,
    ServiceFailed,
    ServiceNotSetUp,
    ServiceUnreachable,
    StoreUnavailable,
)

FAIR_SECONDS: Final = 1.0
"""A timeout sooner than this is not counted as a failure."""


class CallOutcome(StrEnum):
    """Outcome of one call."""

    WELL = "well"
    """Answered; a refusal (4xx) comes from a service that works."""
    FAILED = "failed"
    """The service, or what the callee does there, failed: which of them, only the calls of others can tell."""
    AWAY = "away"
    """No connection to the service, whichever callee was meant."""
    UNKNOWN = "unknown"
    """The call says nothing about the service."""


def outcome_of(error: OrchestratorError | None, seconds: float, fair_seconds: float = FAIR_SECONDS) -> CallOutcome:
    """Return the outcome of a call.

    UNKNOWN is an answer that is wrong in itself, a failure that an agent or tool reports of itself, a call that had
    too little time, and one that failed on this side.

    Args:
        error: of the call; None: it had an answer.
        seconds: duration of the call.
        fair_seconds: duration from which on a timeout is a failure.
    """
    if error is None:
        return CallOutcome.WELL
    if isinstance(error, CallTimeout) and not isinstance(error, ReportedTimeout):
        return CallOutcome.FAILED if seconds >= fair_seconds else CallOutcome.UNKNOWN
    if isinstance(error, InvalidAnswer | ReportedFailure | ServiceNotSetUp | StoreUnavailable):
        return CallOutcome.UNKNOWN
    if isinstance(error, BadGateway | ServiceFailed | ConnectionBroken | ReportedTimeout):
        return CallOutcome.FAILED
    return CallOutcome.AWAY if isinstance(error, ServiceUnreachable) else CallOutcome.WELL
