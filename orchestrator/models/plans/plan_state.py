"""How far a plan is: the states of its calls, and what is told of them."""

from enum import StrEnum

from attrs import frozen

from orchestrator.models.common.envelope import ErrorBody


class CallState(StrEnum):
    """Where a call of a plan stands."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """Its result comes later, from a service or a user."""
    DONE = "done"
    FAILED = "failed"
    """The plan went on without it."""
    SKIPPED = "skipped"
    UNDONE = "undone"
    LEFT = "left"
    """It was to be undone, and could not be."""


SETTLED = (CallState.DONE, CallState.FAILED, CallState.SKIPPED)
"""A call in one of these states is not started again. (The hash of an enum's member costs more than this search.)"""


@frozen
class PlanProgress:
    """A call has come to a state."""

    call: str
    """Its name in the plan."""
    state: CallState
    settled: int
    """Calls that are done, failed or skipped by now."""
    total: int
    error: ErrorBody | None = None
    """Of a call that failed, or could not be undone."""
