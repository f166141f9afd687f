"""What a plan asks of who makes its calls, and how an attempt at a plan ends."""

from typing import Any, Protocol

from attrs import field, frozen

from orchestrator.errors import OrchestratorError
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import ErrorBody
from orchestrator.models.plans.orchestration import ServiceCall
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.waits import CallAnswer, Wait
from orchestrator.services.plans.attempt import PlanAttempt


@frozen
class PlannedCall:
    """One call of a plan, ready to be made."""

    name: str
    """In its plan; `undo:{name}` of what undoes a call."""
    step: ServiceCall
    """With its references replaced."""
    context: CallContext
    """With the plan's deadline, and an idempotency key made of task, call and plan version."""
    run: PlanAttempt
    """The attempt that makes it."""
    answer: CallAnswer | None = None
    """What has come for a call that was put aside in an earlier attempt."""


class CallExecutor(Protocol):
    """Makes the calls of plans."""

    async def perform(self, call: PlannedCall) -> Any:
        """Make a call, with its retries, and return its result, plain JSON data.

        It is asked again, with `answer`, for a call that it has put aside and that was answered since.

        Raises:
            OrchestratorError: the call has failed for good.
            CallWaits: its result comes later.
            FencedOut: another worker has taken the task over.
        """


@frozen
class PlanDone:
    """A plan that has come to its end; `partial` where calls failed that it could go on without."""

    status: TaskStatus
    results: dict[str, Any]
    """By call, of those that were done."""
    failed: dict[str, ErrorBody] = field(factory=dict)
    skipped: list[str] = field(factory=list)


@frozen
class PlanWaiting:
    """A plan that goes on when one of these is answered; until then it holds no slot."""

    waits: list[Wait]


@frozen
class PlanUndone:
    """A plan that has failed for good, and what it had done was undone, the last first: no later attempt may help."""

    error: OrchestratorError
    """The failure; its details tell what is left."""
    undone: list[str]
    left: dict[str, ErrorBody]
    """What could not be undone, or may have been done after all; by call, and why. A person has to look at it."""
