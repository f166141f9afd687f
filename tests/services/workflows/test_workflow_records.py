"""What the record of a workflow keeps beside the results of its calls."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.models.plans.plan_request import CALL_NAME
from orchestrator.models.tasks.waits import ANSWER
from orchestrator.services.plans.plan_journal import UNDO, WAIT
from orchestrator.services.workflows.workflow_records import is_result

NAMES = st.from_regex(re.compile(CALL_NAME.replace("$", r"\Z"), re.ASCII)) | st.sampled_from(
    ["undo", "engine", "wait", "answer", "step", "agent_version", "execute", "streamed"]
)


@given(NAMES)
def test_the_result_of_a_call_is_found_whatever_its_name_is(name: str) -> None:
    assert is_result(name)


@given(NAMES)
def test_notes_of_the_plan_engine_are_no_results_whatever_the_calls_are_named(name: str) -> None:
    noted = [UNDO, UNDO + name, WAIT + name, ANSWER + name, WAIT + UNDO + name, f"{name}.agent_version"]
    noted += [f"{UNDO}{name}.streamed", f"{ANSWER}{name}.call-1"]
    assert not any(is_result(one) for one in noted)


@pytest.mark.parametrize("step", ["step:count", "step:a.b", "step:undo:a"])
def test_the_result_of_a_step_is_one_whatever_the_step_is_named(step: str) -> None:
    assert is_result(step)
