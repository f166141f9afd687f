"""Who is blamed for the failure of a call."""

import pytest

from orchestrator.domain.downstream.call_outcomes import CallOutcome, outcome_of
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    ConnectionBroken,
    InvalidAnswer,
    NotFound,
    OrchestratorError,
    ReportedFailure,
    ServiceFailed,
    ServiceFault,
    ServiceNotSetUp,
    ServiceRefused,
    ServiceUnreachable,
    StoreUnavailable,
)


@pytest.mark.parametrize(
    ("error", "seconds", "outcome"),
    [
        (None, 0, CallOutcome.WELL),
        (ServiceUnreachable("Away."), 0, CallOutcome.AWAY),
        (ConnectionBroken("Broken."), 0, CallOutcome.FAILED),
        (BadGateway("503."), 0, CallOutcome.FAILED),
        (ServiceFailed("500."), 0, CallOutcome.FAILED),
        (CallTimeout("Slow."), 1.0, CallOutcome.FAILED),
        (CallTimeout("Slow."), 0.2, CallOutcome.UNKNOWN),
        (ServiceRefused("422."), 0, CallOutcome.WELL),
        (NotFound("404."), 0, CallOutcome.WELL),
        (ServiceFault("429."), 0, CallOutcome.WELL),
        (InvalidAnswer("Nonsense."), 0, CallOutcome.UNKNOWN),
        (ReportedFailure("The agent failed."), 0, CallOutcome.UNKNOWN),
        (ServiceNotSetUp("No URL."), 0, CallOutcome.UNKNOWN),
        (StoreUnavailable("Redis is away."), 0, CallOutcome.UNKNOWN),
    ],
)
def test_each_error_blames_the_right_party(
    error: OrchestratorError | None, seconds: float, outcome: CallOutcome
) -> None:
    assert outcome_of(error, seconds) is outcome
