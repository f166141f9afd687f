"""What a chat turn is given while it runs, and what it leaves behind."""

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import define, frozen

from orchestrator.models.plans.plan_state import PlanProgress
from orchestrator.models.sessions.chat import ChatAnswer, HistoryMessage
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import CancelledBy, TaskMessage
from orchestrator.models.tasks.waits import Wait
from orchestrator.services.delegation.delegations import Delegating


class Attempt(Protocol):
    """One attempt at a task, under its lease."""

    @property
    def message(self) -> TaskMessage:
        """The task as it was queued."""

    @property
    def attempt(self) -> int:
        """1, 2, 3…: how often the task was claimed."""

    @property
    def session(self) -> Session:
        """The session as it was when the task was claimed."""

    @property
    def checkpoints(self) -> Mapping[str, Any]:
        """Results of finished steps of earlier attempts, by name."""

    @property
    def stopped_by(self) -> CancelledBy | None:
        """Who has stopped the turn (`chat.cancel`, `interrupt`), so that no later attempt will end it."""

    async def emit(self, name: str, data: object) -> None:
        """Append an event to the session's log; FencedOut where another worker has taken over."""

    async def checkpoint(self, name: str, result: Any) -> None:
        """Keep the result of a step for later attempts; FencedOut where another worker has taken over."""

    async def recent(self) -> list[HistoryMessage]:
        """Return the kept window of the conversation, oldest first."""

    @property
    def delegations(self) -> Delegating:
        """Hands calls on to services that answer later."""


class PlanAttempt(Protocol):
    """One attempt at a task that is a plan, under its lease."""

    @property
    def message(self) -> TaskMessage:
        """The task; `metadata.timeout_ms` is what is left of its time."""

    @property
    def checkpoints(self) -> Mapping[str, Any]:
        """What earlier attempts have kept, by name, and the answers that have come since."""

    @property
    def stopped_by(self) -> CancelledBy | None:
        """Who has stopped the task, so that no later attempt will end it; None: it was not stopped."""

    @property
    def delegations(self) -> Delegating:
        """Hands calls on to services that answer later."""

    async def checkpoint(self, name: str, result: Any, progress: PlanProgress | None = None) -> None:
        """Keep something for later attempts, and tell followers of `progress`, in one step.

        Raises:
            FencedOut: another worker has taken over.
        """

    async def tell(self, progress: PlanProgress) -> None:
        """Tell followers of a state that needs not be kept; FencedOut where another worker has taken over."""


@define
class Partial:
    """What a turn had said when it was stopped; filled by the turn, read by who runs it."""

    answer: ChatAnswer | None = None
    """None where nothing had been said yet."""
    conversation_id: str | None = None


@frozen
class TurnDone:
    """A finished turn."""

    answer: ChatAnswer
    conversation_id: str | None
    """None where Conversation was away before the conversation was begun; the next turn begins it."""
    agent_version: str | None


@frozen
class TurnWaiting:
    """A turn that goes on when one of its waits is answered; until then it holds no slot."""

    waits: tuple[Wait, ...]


class TurnRunner(Protocol):
    """Runs attempts at chat turns."""

    async def run(self, run: Attempt, partial: Partial) -> TurnDone | TurnWaiting:
        """Run one attempt; raises the OrchestratorError that the turn fails with, or FencedOut."""


class CallWaits(Exception):
    """Raised by a call of a plan whose result comes later: the task is put aside until then."""

    is_failure = False
    """For the call's span."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(f"{wait.call_id} is answered later")
        self.wait = wait
