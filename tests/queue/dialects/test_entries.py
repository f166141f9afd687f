"""What entries ask for: the documented names of what is worked on are read alike, and null is no name."""

from typing import Any

import pytest

from orchestrator.errors import InvalidBody
from orchestrator.models.common.ids import new_id
from orchestrator.queue.dialects.entries import read_entry
from tests.platform.vectors import vector

INPUTS = ("input_data", "input_parameters", "inputs")
OWN: dict[str, tuple[str, dict[str, Any], str]] = {
    "workflow.execute": ("q-task-full", {"workflow_id": "w"}, "input"),
    "tool.execute": ("q-tool-execute", {"tool_id": "t"}, "parameters"),
    "workflow.step": ("q-workflow-step", {"step_type": "agent_task", "agent_config": {"agent_id": "a"}}, "input"),
}
"""By kind: an entry, what it must say, and the service's own name of what is worked on."""


def payload_of(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    name, needed, _ = OWN[kind]
    entry = {**vector(name).filled({}), "task_id": new_id(), "payload": {**needed, **said}}
    return dict(read_entry(entry, "acme").message.payload)


@pytest.mark.parametrize("kind", OWN)
@pytest.mark.parametrize("name", INPUTS)
def test_what_is_worked_on_has_any_of_its_documented_names(kind: str, name: str) -> None:
    own = OWN[kind][2]
    assert payload_of(kind, {name: {"a": 1}})[own] == {"a": 1}
    assert payload_of(kind, {name: None, own: {"a": 1}})[own] == {"a": 1}
    with pytest.raises(InvalidBody) as refused:
        payload_of(kind, {name: {"a": 1}, own: {"a": 2}})
    assert refused.value.details[0].path == f"$.payload.{name}"


def test_a_definition_may_be_named_beside_a_template_that_is_null() -> None:
    assert payload_of("workflow.execute", {"workflow_template_id": None})["workflow_id"] == "w"
