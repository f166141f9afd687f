"""Checkpoints of a chat turn: what one attempt keeps for the next, each under its name in the record of the task.

During a rolling restart, processes of two versions may run attempts at the same turn. Fields are therefore only added,
each with a default, and fields that a later version has added are ignored.
"""

from collections.abc import Mapping
from typing import Any, Final, Self, TypeVar

from attrs import field, frozen

from orchestrator.codec import structure_kept, unstructure
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.models.tasks.waits import Wait

A = TypeVar("A")

EXECUTED: Final = "execute"
"""Checkpoint: `ExecutedTurn`, the agent has answered."""
STREAMED: Final = "streamed"
"""Checkpoint: `ResumeState`, the turn was put aside."""
_EXECUTION: Final = "execute."


def execution_call(failures: int) -> str:
    """Return the name of the call that is a turn's execution; after a failure the turn starts over with another one."""
    return f"{_EXECUTION}{failures}"


@frozen
class ExecutedTurn:
    """An answer of the agent: it is given once, whatever happens afterwards."""

    answer: ChatAnswer
    agent_version: str | None

    @classmethod
    def read(cls, checkpoints: Mapping[str, Any]) -> Self | None:
        """Return what an earlier attempt has kept, if it has."""
        return _read(cls, checkpoints.get(EXECUTED))


@frozen
class ResumeState:
    """How a turn stood when it was put aside, for the attempt that goes on with the answer to `wait`."""

    wait: Wait
    execution_id: str = ""
    """The execution at Agent Execution that goes on with the answer."""
    rounds: int = 0
    """Tools that the agent has asked for."""
    async_tools: tuple[str, ...] = ()
    """Those of its tools that are started, and answer later."""
    text: str = ""
    """What was streamed of the answer."""
    sequence: int = 0
    """The number of the last event of the stream."""
    answer_id: str = ""
    conversation_id: str | None = None
    """None until the conversation was begun."""
    question_stored: bool = False
    degraded: tuple[str, ...] = ()
    """Services that were away."""
    names: dict[str, str] = field(factory=dict)
    """Ids of tools by the names that the agent may call them by instead."""
    descriptions: dict[str, str] = field(factory=dict)
    """What the tools do that run at the client, by their ids."""

    @classmethod
    def read(cls, checkpoints: Mapping[str, Any]) -> Self | None:
        """Return what an earlier attempt has kept, if it has."""
        return _read(cls, checkpoints.get(STREAMED))

    def kept(self) -> dict[str, Any]:
        """Return it as plain data, without what says nothing and the version before does not know."""
        plain: dict[str, Any] = unstructure(self)
        if not self.descriptions:
            del plain["descriptions"]
        return plain

    def is_over(self, failures: int) -> bool:
        """Tell whether the wait was for an execution that has failed since; the turn starts over with another one."""
        return self.wait.call_id.startswith(_EXECUTION) and self.wait.call_id != execution_call(failures)


def _read(cls: type[A], kept: dict[str, Any] | None) -> A | None:
    return None if kept is None else structure_kept(kept, cls)
