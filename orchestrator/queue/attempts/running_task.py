"""A task in hand: the claim, its cancel scope, and why it was stopped."""

from enum import StrEnum

import trio
from attrs import define, field

from orchestrator.store.tasks.claims import Claim


class StopReason(StrEnum):
    """Why a running task is stopped from outside."""

    CANCELLED = "cancelled"
    """A person does not want it any more."""
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
    began: float = field(factory=trio.current_time)
    """On the process's steady clock."""
    tokens: int = 0
    """What the task has spent, as far as it said."""

    @property
    def stopped(self) -> bool:
        """Whether a person stopped the task, so that no later attempt will end it."""
        return self.reason in {StopReason.CANCELLED, StopReason.INTERRUPTED}

    def stop(self, reason: StopReason) -> None:
        """Cancel the task's work; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self.scope.cancel()
