"""Words that are looked up, where something else stands than a word: it is told or passed over, and no crash."""

from typing import Any

import pytest

from orchestrator.dialects.failures import failure_in
from orchestrator.dialects.news import read_news
from orchestrator.errors import InvalidBody
from orchestrator.models.common.ids import new_id
from orchestrator.queue.dialects.entries import read_entry
from orchestrator.queue.tasks.engine_watch import _ended

ODD = pytest.mark.parametrize("odd", [[], {}, [["x"]], {"a": 1}], ids=str)
STEP: dict[str, Any] = {
    **{name: new_id() for name in ("message_id", "task_id", "correlation_id")},
    "tenant_id": "acme",
    "created_at": "2026-01-01T00:00:00.000Z",
    "type": "workflow.step",
}


@ODD
def test_a_status_that_is_no_word_tells_no_failure(odd: object) -> None:
    assert failure_in({"metadata": {"error_code": "X_1"}, "status": odd}) is None


@ODD
def test_a_question_of_no_known_type_is_one_all_the_same(odd: object) -> None:
    told: Any = read_news(
        {"type": "workflow.input_request", "payload": {"step_id": "a", "prompt": "?", "input_type": odd}}
    )
    assert told.update.input_request.prompt == "?"


@ODD
def test_a_step_of_no_known_type_is_refused_by_its_path(odd: object) -> None:
    with pytest.raises(InvalidBody) as refused:
        read_entry({**STEP, "payload": {"step_type": odd}}, "acme")
    assert [fault.path for fault in refused.value.details] == ["$.payload.step_type"]


@ODD
def test_a_run_that_stands_in_no_word_has_failed(odd: object) -> None:
    ended = _ended({"execution_id": "e1", "status": odd})
    assert ended is not None
    assert ended.error is not None
