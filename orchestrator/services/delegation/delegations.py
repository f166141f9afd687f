"""Calls that are handed on: a service takes the work, and answers later with what it was given here."""

from typing import Any, Final, Protocol

from orchestrator.codec import structure_kept
from orchestrator.errors import InternalFault
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.tasks.waits import ANSWER, AnswerStatus, CallAnswer, Callback
from orchestrator.services.tasks.payloads import PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind
from orchestrator.stored_errors import revive

CANCELLABLE: Final = frozenset({"agent_execution", "workflow_engine"})
"""Services that can be told to stop their work."""
CANCEL_TASK: Final = TaskKind(MessageType("delegation", "cancel"), payload={"task_id": PayloadField(str)}, priority=1)
"""Of the tasks that tell them."""
GRACE_MS: Final = 600_000
"""How much longer than its wait a callback token lives: an answer that comes too late is still told so."""


class Delegating(Protocol):
    """Hands calls of one attempt at a task on; all of it is fenced.

    The order is: `register`, send the call with the callback in its metadata, then `sent`, and wait (`models.waits`)
    for the call under the same name. The answer is the checkpoint `answer:{call_id}`, which `answer_of` reads.
    """

    async def register(self, call_id: str, service: str, timeout_ms: int) -> Callback | None:
        """Have a call's answer taken, from now on.

        Args:
            call_id: names the call within the task.
            service: who is asked.
            timeout_ms: how long the answer is waited for.

        Returns:
            What goes into the message's metadata; None where an earlier attempt has sent the call, and its answer is to
            be waited for.

        Raises:
            FencedOut: another worker has taken over.
        """

    async def sent(self, call_id: str, service: str, execution_id: str = "") -> None:
        """Note that the service has taken the call on; if the task ends before its answer, the service is told.

        Args:
            call_id: as registered.
            service: as registered.
            execution_id: the service's own name of the work; empty: it has none, and can't be told.

        Raises:
            FencedOut: another worker has taken over.
        """


def answer_of(checkpoints: Any, call_id: str) -> CallAnswer | None:
    """Return the answer to a call that was waited for; None: there is none yet."""
    kept = checkpoints.get(ANSWER + call_id)
    return None if kept is None else structure_kept(kept, CallAnswer)


def result_of(answer: CallAnswer) -> Any:
    """Return the result of an answer.

    Raises:
        OrchestratorError: the one that it holds instead.
    """
    if answer.status is AnswerStatus.COMPLETED:
        return answer.result
    raise InternalFault("The call failed without a reason.") if answer.error is None else revive(answer.error)
