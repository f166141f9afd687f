"""Steps of workflows that the Workflow Engine asks for through the queue: each is a task of its own."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import frozen

from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault, MessageType
from orchestrator.models.tasks.task import TaskMessage
from orchestrator.services.tasks.payloads import PayloadField
from orchestrator.services.tasks.task_kinds import TaskKind

_QUESTIONS: Final = ("query", "question", "prompt", "content", "message", "text")
"""Inputs that are what an agent is asked, the first that is there; else it is asked all of its input, as JSON."""
_PREVIOUS: Final = "previous_step"
_REFERENCES: Final = {_PREVIOUS: "step_id", "workflow_input": "parameter"}
"""Places that a value may refer to, and the field that says what is meant there."""


def _names_who_runs(message: TaskMessage) -> None:
    if message.payload.get("agent_id") is None and message.payload.get("tool_id") is None:
        missing = FieldFault("$.payload.agent_id", "required field is missing")
        raise InvalidBody("The step names neither an agent nor a tool.", details=[missing])


STEP: Final = TaskKind(
    MessageType("workflow", "step"),
    payload={
        "step_id": PayloadField(str),
        "workflow": PayloadField(str, required=False),
        "input": PayloadField(dict),
        "on_failure": PayloadField(str),
        "message_id": PayloadField(str),
        "agent_id": PayloadField(str, required=False),
        "agent_parameters": PayloadField(dict, required=False),
        "version": PayloadField(str, required=False),
        "tool_id": PayloadField(str, required=False),
    },
    also=_names_who_runs,
)


@frozen
class StepInput:
    """What a step works on."""

    values: dict[str, Any]
    unresolved: list[str]
    """Names of values that refer to what is not known here: they are null."""

    @property
    def question(self) -> str:
        """What an agent is asked."""
        for name in _QUESTIONS:
            if isinstance(self.values.get(name), str) and self.values[name]:
                return str(self.values[name])
        return orjson.dumps(self.values).decode()


def resolve_input(given: Mapping[str, Any], results: Mapping[str, Any], workflow_input: Mapping[str, Any]) -> StepInput:
    """Fill references in.

    Args:
        given: values by name; one with a `source` refers to an earlier step's result, or to the workflow's input.
        results: of the steps that have been run here, by id.
        workflow_input: what the workflow was started with.
    """
    values: dict[str, Any] = {}
    unresolved = []
    for name, value in given.items():
        place, named = _reference(value)
        if place is None:
            values[name] = value
            continue
        known = results if place == _PREVIOUS else workflow_input
        values[name] = known.get(named)
        if named not in known:
            unresolved.append(name)
    return StepInput(values, unresolved)


def _reference(value: Any) -> tuple[str | None, str]:
    """Return the place that a value refers to, and what is meant there; no place: it is no reference."""
    place = value.get("source") if isinstance(value, dict) else None
    if not isinstance(place, str) or place not in _REFERENCES:
        return None, ""
    named = value.get(_REFERENCES[place])
    return place, named if isinstance(named, str) else ""


def tries(on_failure: str) -> int:
    """Return how often a step is tried at most."""
    return 2 if "retry" in on_failure else 1


def may_be_left_out(on_failure: str) -> bool:
    """Tell whether the workflow goes on without the result of the step."""
    return "continue" in on_failure or "skip" in on_failure
