"""Documented names of fields are read as the service's own."""

import pytest

from orchestrator.clients.dialects.answers import TOOL
from orchestrator.dialects.engine_runs import own_names, run_of_engine, share
from tests.platform.vectors import vector


def test_an_own_name_outweighs_a_documented_one() -> None:
    assert own_names({"tool_name": "a", "name": "b"}, TOOL)["name"] == "b"
    assert own_names({"tool_name": "a"}, TOOL)["name"] == "a"


@pytest.mark.parametrize(("percent", "expected"), [(25, 0.25), (250, 1.0), (-1, 0.0), ("25", None), (True, None)])
def test_a_percentage_becomes_a_share(percent: object, expected: float | None) -> None:
    assert share(percent) == expected


def test_a_run_of_the_engine_is_read_with_its_steps() -> None:
    told = run_of_engine(vector("svc-we-execution-res").data)
    assert (told["status"], told["progress"], told["current_step"]) == ("processing", 0.4, "multiply")
    assert (told["steps_completed"], told["steps_total"]) == (2, 5)


def test_a_status_message_is_read_with_the_name_of_its_step() -> None:
    told = run_of_engine(vector("svc-we-status").example["payload"])
    assert (told["status"], told["progress"], told["current_step"]) == ("running", 0.2, "multiply")
    assert (told["steps_completed"], told["steps_total"]) == (1, 5)


def test_an_event_names_the_node_that_follows() -> None:
    told = run_of_engine(vector("svc-we-event").example["payload"])
    assert (told["progress"], told["current_step"]) == (0.6, "end")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"percentage": 30}, 0.3),
        ({"progress_percentage": 30, "progress": 0.5}, 0.3),
        ({"progress": 0.5}, 0.5),
        ({"progress": 1}, 1.0),
        ({"progress": 25}, 0.25),
        ({"progress": -1}, None),
        ({"progress": True}, None),
    ],
)
def test_the_progress_of_a_run_is_a_share_or_a_percentage(said: dict[str, object], expected: float | None) -> None:
    assert run_of_engine(said)["progress"] == expected


def test_a_run_in_own_words_stays_as_it_is() -> None:
    own = {"status": "running", "steps_completed": 1, "steps_total": 2, "current_step": "a"}
    assert run_of_engine(own) == own
