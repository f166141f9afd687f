"""The default dialect: every event as it stands in its log, with the documented names beside this service's own.

An addition takes nothing away. Where a name is this service's own too, as the status of a workflow, it gets the
documented word, and what it stands for comes beside it.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

from attrs import asdict, field, frozen
from msgspec import Meta

from orchestrator.codec import encode, parse_json
from orchestrator.dialects.runs import TOLD
from orchestrator.dialects.sessions import STATUSES, TRANSITIONS
from orchestrator.errors import InvalidBody, TenantDamaged
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.events.events import Event
from orchestrator.models.sessions.session import SessionState
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.frames import frame
from orchestrator.websocket.dialects.questions import Question, question_of

_Estimate = Annotated[Timestamp | None, Meta(description="Null where it is not known.")]


UNLIKE: Final = (LookupError, TypeError, ValueError, AttributeError, InvalidBody, TenantDamaged)
"""What reading a body raises that another version has written otherwise: it is passed on as it stands."""


@frozen
class StateNames:
    """What stands beside the state of a session."""

    status: Annotated[str, Meta(description="`active`, `inactive` or `closed`, by the state.")]
    event: Annotated[str | None, Meta(description="The name of the transition; null where there was none.")] = None


@frozen
class StatusNames:
    """What stands beside how far a message has come."""

    estimated_completion_time: _Estimate = None


@frozen
class AnswerNames:
    """What stands beside a finished answer."""

    token_count: Annotated[int, Meta(description="`usage.total_tokens`.")] = 0
    metadata: dict[str, Any] = field(factory=dict)


@frozen
class RunNames:
    """What stands beside how far a workflow is."""

    status: Annotated[str, Meta(description="`queued`, `processing`, `completed`, `failed` or `cancelled`.")]
    state: Annotated[str, Meta(description="The finer one: `waiting` is processing, `partial` is completed, …")]
    status_message: str
    estimated_completion_time: _Estimate = None


@frozen
class FailureNames:
    """What stands beside the error."""

    error_code: str
    error_message: str
    error_details: Annotated[dict[str, str], Meta(description="What is wrong, by path.")] = field(factory=dict)


@frozen
class ResultNames:
    """What stands in a failed result of a tool, where it has not said it."""

    result: dict[str, Any]


@frozen
class Addition:
    """What an event gets."""

    model: type
    """What describes it."""
    of: Callable[[dict[str, Any]], Any]
    """Makes it of the event's data."""


def _state_names(data: dict[str, Any]) -> StateNames:
    state = SessionState(data["state"])
    # The agent is told where a follower is greeted or the agent changes: neither is a transition.
    moved = data.get("agent_id") is None
    return StateNames(STATUSES[state], TRANSITIONS.get(state) if moved else None)


def _status_names(data: dict[str, Any]) -> StatusNames:
    return StatusNames(data.get("estimated_completion_time"))


def _answer_names(data: dict[str, Any]) -> AnswerNames:
    return AnswerNames(data["usage"]["total_tokens"], data.get("metadata") or {})


def run_names(data: dict[str, Any]) -> RunNames:
    """Return the documented names of how far a workflow is."""
    status = TOLD[data["status"]]
    done, steps = data.get("steps_completed", 0), data.get("steps_total", 0)
    message = data.get("status_message") or (f"step {done} of {steps}" if steps else status)
    return RunNames(status, data["status"], message, data.get("estimated_completion_time"))


def _failure_names(data: dict[str, Any]) -> FailureNames:
    error = data["error"]
    return FailureNames(
        error["code"], error["message"], {fault["path"]: fault["message"] for fault in error["details"]}
    )


def _result_names(data: dict[str, Any]) -> ResultNames:
    result = data["result"]
    if result["status"] == "success":
        return ResultNames(result)
    given = {name: value for name, value in result.items() if value is not None}
    return ResultNames({**result, "data": {}, "error_message": "The tool failed.", "execution_time_ms": 0, **given})


ADDITIONS: Final[Mapping[str, Addition]] = {
    "session.state_update": Addition(StateNames, _state_names),
    "chat.status_update": Addition(StatusNames, _status_names),
    "chat.completed": Addition(AnswerNames, _answer_names),
    "tool.result": Addition(ResultNames, _result_names),
    "workflow.status_update": Addition(RunNames, run_names),
    "workflow.input_request": Addition(Question, question_of),
    "system.error": Addition(FailureNames, _failure_names),
}
"""What each event gets, by name; the others are sent as they stand in their logs."""


def added(event: LoggedEvent) -> bytes:
    """Write an event with its documented names; one without any costs one look into the table."""
    addition = ADDITIONS.get(event.name)
    if addition is None:
        return event.frame
    try:
        body = parse_json(event.body)
        data = body["data"]
        return rewritten(event, event.name, body | {"data": data | asdict(addition.of(data))})
    except UNLIKE:
        return event.frame


def rewritten(event: Event, name: str, body: dict[str, Any]) -> bytes:
    """Write an event with another body, and under another name, at its place in the log.

    Args:
        event: whose offset and epoch it has.
        name: the frame, `domain.action`.
        body: the envelope, whose first field is `data`, an object that is not empty.
    """
    return frame(Event(event.offset, event.epoch, name, encode(body)))
