"""The run of an agent as a step of a workflow: no attempt at a task of its own, so nothing of it is kept on the way."""

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import define, field

from orchestrator.models.sessions.chat import HistoryMessage
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import CancelledBy, TaskMessage
from orchestrator.models.tasks.waits import Callback
from orchestrator.services.workflows.ephemeral_session import ephemeral_session


class NoDelegations:
    """Delegates no calls: the caller of the step waits for its result here and now."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id

    async def register(self, call_id: str, service: str, timeout_ms: int) -> Callback | None:
        """Return a callback without token: an answer that comes later is refused."""
        return Callback(self._task_id, "")

    async def sent(self, call_id: str, service: str, execution_id: str = "") -> None:
        """Note nothing."""


class Stoppable(Protocol):
    """Work that may be stopped for good."""

    @property
    def stopped_by(self) -> CancelledBy | None:
        """Who has stopped it; None: it was not stopped."""


@define
class StepAttempt:
    """An `Attempt` without followers, checkpoints and history.

    Args:
        message: the question, as the message of a turn.
        agent_id: who is asked.
        within: the attempt at the task that the step is; None: a request waits for the step.
    """

    message: TaskMessage
    agent_id: str
    attempt: int = 1
    within: Stoppable | None = None
    checkpoints: Mapping[str, Any] = field(factory=dict)
    delegations: NoDelegations = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.delegations = NoDelegations(self.message.task_id)

    @property
    def stopped_by(self) -> CancelledBy | None:
        """Who has stopped the step's task; None: it was not stopped, or it has none."""
        return None if self.within is None else self.within.stopped_by

    @property
    def session(self) -> Session:
        """What stands for a session where a turn's parts ask for one; it is stored nowhere."""
        return ephemeral_session(self.message, self.agent_id, self.message.payload.get("version"))

    async def emit(self, name: str, data: object) -> None:
        """Tell nothing: the engine is told the step's result."""

    async def checkpoint(self, name: str, result: Any) -> None:
        """Keep nothing: a step that is lost is asked for again."""

    async def recent(self) -> list[HistoryMessage]:
        """Return nothing: a step has no past."""
        return []
