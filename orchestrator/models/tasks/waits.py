"""What a task waits for while it holds no slot: an answer that comes later."""

from enum import StrEnum
from typing import Any

from attrs import frozen

from orchestrator.models.common.envelope import ErrorBody

ANSWER = "answer:"
"""Checkpoints of this prefix, by call, are the answers: `CallAnswer` each."""


class WaitKind(StrEnum):
    """Who answers."""

    CLIENT_TOOL = "client_tool"
    """The client runs a tool, and sends `tool.result`."""
    DELEGATED = "delegated"
    """A service has taken the work on, and sends `task.complete` or `task.fail`."""


@frozen
class Wait:
    """One answer that is to come."""

    call_id: str
    """Names it within its task: the id of a tool call, or the name of a plan's call."""
    kind: WaitKind
    timeout_ms: int
    """After so long it is answered by an error."""
    request: dict[str, Any] | None = None
    """What a client is asked: the fields of `tool.execute`."""


class AnswerStatus(StrEnum):
    """How a call that was waited for has ended."""

    COMPLETED = "completed"
    FAILED = "failed"


@frozen
class CallAnswer:
    """The answer to a call that was waited for."""

    status: AnswerStatus
    result: Any = None
    error: ErrorBody | None = None


@frozen
class Callback:
    """What a service needs to answer later: it travels in the metadata of the message that hands the call on."""

    task_id: str
    token: str
    """Named `callback_token` in the metadata; only its digest is kept here."""


class Taken(StrEnum):
    """What became of the answer to a call that a task waits for, or of a report how far it is."""

    TAKEN = "taken"
    LATE = "late"
    """The call was answered before, or its task has ended: nothing has changed."""
    REFUSED = "refused"
    """The token is none of this task, or has expired."""
    UNKNOWN = "unknown"
    """There is no such task."""
