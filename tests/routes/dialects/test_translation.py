"""Documented names become the service's own and back: pure functions, tried without a service."""

from typing import Any

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InvalidBody, InvalidParameter, Unprocessable
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.batch import BatchOperation
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.routes import ROUTES
from orchestrator.routes.dialects.answering import add_names
from orchestrator.routes.dialects.batches import (
    ProcessingOptions,
    WorkflowBatch,
    WorkflowBatchConfig,
    WorkflowBatchItem,
    batch_of,
    is_set_up,
)
from orchestrator.routes.dialects.paths import PLAIN_PATHS, filled
from orchestrator.routes.dialects.reading import read_fields
from orchestrator.routes.dialects.record import NO_NAMES, Answered
from orchestrator.routes.dialects.table import DIALECTS

ITEM = WorkflowBatchItem("a", "text")


def batch(operation: str = "analysis", *, priority: int | None = None, **options: str) -> WorkflowBatch:
    return WorkflowBatch(operation, [ITEM], WorkflowBatchConfig(priority, None, ProcessingOptions(**options)))


def test_every_record_is_of_a_route_that_is_there() -> None:
    names = {route.name for route in ROUTES}
    assert DIALECTS.keys() <= names
    assert {plain.route for plain in PLAIN_PATHS} <= names


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_alias_is_described(name: str) -> None:
    dialect = DIALECTS[name]
    described = set() if dialect.asks is None else {attribute.name for attribute in fields(dialect.asks)}
    assert dialect.body.keys() <= described


@given(st.dictionaries(st.text(), st.integers() | st.text()))
def test_names_of_no_document_are_left_to_the_check_that_follows(data: dict[str, Any]) -> None:
    assert read_fields(NO_NAMES, data, "$") == data


@pytest.mark.parametrize("state", list(SessionState))
def test_a_session_keeps_its_state_beside_its_status(state: SessionState) -> None:
    session = {"state": state, "message_count": 3, "last_activity_at": "now"}
    add_names(DIALECTS["session.get"], session, None, Answered())
    assert session["state"] is state
    assert (session["messages_count"], session["last_activity"]) == (3, "now")


@pytest.mark.parametrize(
    ("query", "own"),
    [
        ({"before": "m1", "after": "m2"}, {"before": "m1", "after": "m2"}),
        ({"before": "2026-01-15T10:00:00Z"}, {"until": "2026-01-15T10:00:00Z"}),
        ({"after": "2026-01-15T10:00:00+02:00"}, {"since": "2026-01-15T10:00:00+02:00"}),
        ({"before": "2026-01-15T10:00:00.5", "after": "m2"}, {"until": "2026-01-15T10:00:00.5Z", "after": "m2"}),
        ({"page": "3", "per_page": "10"}, {"limit": "10", "offset": "20"}),
        ({"page": "2", "limit": "5"}, {"limit": "5", "offset": "5"}),
        ({"per_page": "7"}, {"limit": "7", "offset": "0"}),
        ({"before": "no: moment"}, {"before": "no: moment"}),
    ],
)
def test_a_history_is_asked_for_by_moments_and_pages(query: dict[str, str], own: dict[str, str]) -> None:
    read = DIALECTS["chat.history"].read_query
    assert read is not None
    assert read(query) == own


@pytest.mark.parametrize("query", [{"page": "x"}, {"page": "1", "before": "m"}, {"per_page": "1", "limit": "1"}])
def test_pages_that_contradict_the_rest_are_refused(query: dict[str, str]) -> None:
    read = DIALECTS["chat.history"].read_query
    assert read is not None
    with pytest.raises(InvalidParameter):
        read(query)


def test_a_page_beyond_what_a_list_reaches_is_refused_by_its_own_name() -> None:
    read = DIALECTS["session.list"].read_query
    assert read is not None
    assert read({"page": "51", "per_page": "200"}) == {"limit": "200", "offset": "10000"}
    with pytest.raises(InvalidParameter) as refused:
        read({"page": "52", "per_page": "200"})
    assert [fault.path for fault in refused.value.details] == ["$.query.page"]


@pytest.mark.parametrize(
    ("query", "own"),
    [
        ({"page": "2", "per_page": "5", "since": "2026-01-15T09:00:00Z"}, {"limit": "5", "offset": "5"}),
        ({"page": "3", "limit": "10"}, {"limit": "10", "offset": "20"}),
        ({"page": "1", "status": "paused"}, {"limit": "20", "offset": "0", "states": "PAUSED"}),
    ],
)
def test_sessions_are_asked_for_by_pages_and_filters(query: dict[str, str], own: dict[str, str]) -> None:
    read = DIALECTS["session.list"].read_query
    assert read is not None
    assert read(query).items() >= own.items()
    with pytest.raises(InvalidParameter, match="does not go with 'cursor'"):
        read({**query, "cursor": "MTox"})


def test_pages_are_counted_where_they_were_asked_for_alone() -> None:
    for dialect in (DIALECTS["chat.history"], DIALECTS["session.list"]):
        plain, counted = {"limit": 5, "offset": 5, "total": 11}, {"limit": 5, "offset": 5, "total": 11}
        add_names(dialect, {"items": []}, plain, Answered())
        add_names(dialect, {"items": []}, counted, Answered(by_offset=True))
        assert plain == {"limit": 5, "offset": 5, "total": 11}
        assert counted == {**plain, "page": 2, "per_page": 5, "total_items": 11, "total_pages": 3}


def test_options_of_an_execution_go_where_the_service_has_them() -> None:
    options = {"callback_url": "https://x", "wait_for_completion": True, "timeout_ms": 5, "priority": None}
    own = read_fields(DIALECTS["workflow.execute"], {"workflow_id": "w", "execution_options": options}, "$.data")
    assert own == {"workflow_id": "w", "callback": {"url": "https://x"}, "mode": "wait", "timeout_ms": 5}
    assert read_fields(DIALECTS["workflow.execute"], {"execution_options": None}, "$") == {}
    least = read_fields(DIALECTS["workflow.execute"], {"execution_options": {"priority": 10}}, "$")
    assert least == {"priority": 9}, "10 counts as 9, as in the queue"
    with pytest.raises(InvalidBody) as refused:
        read_fields(DIALECTS["workflow.execute"], {"execution_options": {"callback_url": "x"}, "callback": {}}, "$")
    assert refused.value.details[0].path == "$.execution_options.callback_url"


def test_a_documented_name_without_a_value_says_nothing() -> None:
    nothing = {"status": None, "session_ttl": None}
    assert read_fields(DIALECTS["session.update"], {"context": {}, **nothing}, "$") == {"context": {}}
    both = {"context": {"a": 1}, "initial_context": None}
    assert read_fields(DIALECTS["session.create"], both, "$") == {"context": {"a": 1}}
    assert read_fields(DIALECTS["session.create"], {"context": None}, "$") == {"context": None}


def test_a_status_of_a_workflow_is_told_in_the_words_of_who_asks() -> None:
    told = []
    for kind, frontend in (("workflow", False), ("workflow", True), ("batch", False)):
        data = {"status": TaskStatus.WAITING, "kind": kind}
        add_names(DIALECTS["workflow.status"], data, None, Answered(frontend=frontend))
        told.append((data["status"], data["state"]))
    assert told == [("waiting", "waiting"), ("processing", "waiting"), ("processing", "waiting")]


def test_results_have_an_entry_for_each_step_and_one_for_what_has_none() -> None:
    run: dict[str, Any] = {"items": None, "took_ms": {"a": 4}, "status": "partial", "task_id": "t", "result": None}
    run["finished_at"] = None
    calls = {"a": {"result": "yes"}, "step:b": {"status": "error", "result": None, "error_message": "no"}}
    add_names(DIALECTS["workflow.results"], one := {**run, "calls": calls, "error": None}, None, Answered())
    assert one["results"] == [
        {"item_id": "a", "status": "success", "processing_time_ms": 4, "output": {"value": "yes", "text": "yes"}},
        {
            "item_id": "b",
            "status": "error",
            "processing_time_ms": 0,
            "error": {"code": "ORCH_CONN_002", "message": "no"},
        },
    ]
    assert one["summary"] == {"total_items": 2, "successful": 1, "failed": 1, "total_processing_time_ms": 4}
    add_names(
        DIALECTS["workflow.results"], none := {**run, "status": "pending", "calls": {}, "error": None}, None, Answered()
    )
    assert none["results"] == [{"item_id": "t", "status": "queued", "processing_time_ms": None}]


def test_a_batch_says_what_works_on_its_items_in_one_way_or_another() -> None:
    assert batch_of(batch("embedding")).operation is BatchOperation.EMBEDDING
    assert batch_of(batch(agent_id="echo")).agent_id == "echo"
    workflow = batch_of(batch(workflow_id="arithmetic"))
    assert (workflow.workflow_id, workflow.items[0].input) == ("arithmetic", {"content": "text"})
    assert batch_of(batch(), agent_id="echo").items[0].item_id == "a"
    both = batch_of(batch(agent_id="echo", workflow_id="arithmetic"))
    assert (both.agent_id, both.workflow_id) == ("echo", "arithmetic"), "which of them is for the service to refuse"
    assert [is_set_up(one) for one in (batch(), batch("embedding"), batch(agent_id="e"))] == [False, True, True]


@pytest.mark.parametrize(("asked", "got"), [(None, 6), (0, 5), (1, 5), (5, 5), (7, 7), (10, 9)])
def test_no_batch_is_more_urgent_than_batches_are(asked: int | None, got: int) -> None:
    assert batch_of(batch(agent_id="echo", priority=asked)).priority == got


def test_the_id_of_a_path_fills_the_body() -> None:
    assert filled({"content": "x"}, "$", "session_id", "s") == {"content": "x", "session_id": "s"}
    assert filled({"session_id": None}, "$", "session_id", "s") == {"session_id": "s"}
    assert filled([1], "$", "session_id", "s") == [1]
    with pytest.raises(Unprocessable):
        filled({"session_id": "other"}, "$.data", "session_id", "s")
