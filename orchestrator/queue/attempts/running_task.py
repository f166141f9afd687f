"""A task in hand: the claim, its cancel scope, and why it was stopped."""

from enum import StrEnum

import trio
from attrs import define, field

from orchestrator.models.tasks.task import CancelledBy
from orchestrator.store.tasks.claims import Claim, StopAsked


class StopReason(StrEnum):
    """Why a running task is stopped from outside."""

    CANCELLED = "cancelled"
    """Its user or an operator does not want it any more, or its session or batch has ended."""
    INTERRUPTED = "interrupted"
    """A newer message took its place."""
    LOST = "lost"
    """Another process has taken it over."""
    HANDED_BACK = "handed_back"
    """This process stops."""


@define(eq=False)
class RunningTask:
    """A task in hand."""

    claim: Claim
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    reason: StopReason | None = None
    stopped_by: CancelledBy | None = None
    """Who has stopped it for good, so that no later attempt will end it; None: it was not stopped so."""
    began: float = field(factory=trio.current_time)
    """On the process's steady clock."""
    tokens: int = 0
    """What the task has spent, as far as it said."""

    def obey(self, asked: StopAsked) -> None:
        """Stop as a user has asked for it, or the end of a session or a batch; the first time counts."""
        if self.reason is None:
            self.stopped_by = asked.by
        # A reason that no version of the service has written asks for a stop all the same.
        self.stop(StopReason(asked.reason) if asked.reason in set(StopReason) else StopReason.CANCELLED)

    def stop(self, reason: StopReason) -> None:
        """Cancel the task's work; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self.scope.cancel()
