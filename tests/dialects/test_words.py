"""Words of the platform's documents: every state and status has one, and aliases are read without a choice."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dialects.aliases import read_aliases
from orchestrator.dialects.frontend_errors import frontend_code, frontend_failure
from orchestrator.dialects.runs import SAID, TOLD
from orchestrator.dialects.sessions import FILTERS, STATUSES
from orchestrator.errors import InternalFault, InvalidBody, NotFound, OrchestratorError, StoreUnavailable
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import TaskStatus

ALIASES = {"initial_context": "context", "session_ttl": "ttl_seconds"}


def test_every_state_has_a_status_and_is_selected_by_it() -> None:
    assert STATUSES.keys() == set(SessionState)
    assert all(state in FILTERS[status] for state, status in STATUSES.items())


def test_every_status_of_a_task_is_told_and_can_be_said() -> None:
    assert TOLD.keys() == set(TaskStatus)
    assert set(SAID.values()) == set(TaskStatus)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (StoreUnavailable("Redis is away."), "later"),
        (InternalFault("It broke."), "again"),
        (NotFound("None."), "create"),
    ],
)
def test_a_client_is_advised_to_try_again_where_that_may_help(error: OrchestratorError, advice: str) -> None:
    told = frontend_failure(error, "chat", request_id="r", transaction_id="c").details
    assert advice in told.suggestion
    assert ("Try again" in told.suggestion) is error.retryable


def test_three_statuses_stand_for_nine_states() -> None:
    told = {status: {state.value for state in SessionState if STATUSES[state] == status} for status in FILTERS}
    assert told["active"] == {"CREATED", "ACTIVE", "PROCESSING", "ERROR"}
    assert told["inactive"] == {"PAUSED", "SUSPENDED"}
    assert told["closed"] == {"TERMINATED", "ARCHIVED", "FAILED"}
    assert {name: {*FILTERS[name]} for name in ("created", "paused", "error")} == {
        "created": {SessionState.CREATED},
        "paused": {SessionState.PAUSED},
        "error": {SessionState.ERROR},
    }


def test_clients_are_told_five_words_and_services_say_more() -> None:
    assert set(TOLD.values()) == {"queued", "processing", "completed", "failed", "cancelled"}
    said = {"pending": "queued", "in_progress": "processing", "running": "processing", "waiting": "processing"}
    said |= {"retrying": "processing", "successful": "completed", "partial": "completed", "canceled": "cancelled"}
    assert {word: TOLD[SAID[word]] for word in said} == said


def test_an_alias_becomes_the_services_own_name() -> None:
    read = read_aliases({"initial_context": {"a": 1}, "agent_id": "echo"}, ALIASES, "$.data")
    assert read == {"context": {"a": 1}, "agent_id": "echo"}


def test_an_alias_beside_its_counterpart_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidBody) as refused:
        read_aliases({"initial_context": {"a": 1}, "context": {"a": 2}}, ALIASES, "$.data")
    assert [fault.path for fault in refused.value.details] == ["$.data.initial_context"]


@given(st.dictionaries(st.sampled_from(["agent_id", "metadata", "other"]), st.integers()))
def test_what_no_table_names_stays_as_it_is(fields: dict[str, Any]) -> None:
    assert read_aliases(fields, ALIASES, "$.data") == fields


@pytest.mark.parametrize(
    ("code", "domain", "told"),
    [
        ("ORCH_VAL_001", "chat", "SYSTEM.INVALID_MESSAGE"),
        ("ORCH_VAL_002", "workflow", "WORKFLOW.INVALID_OPERATION"),
        ("ORCH_NOTF_001", "session", "SESSION.NOT_FOUND"),
        ("ORCH_NOTF_001", "workflow", "ORCH_NOTF_001"),
    ],
)
def test_a_code_of_the_guide_depends_on_the_domain(code: str, domain: str, told: str) -> None:
    assert frontend_code(code, domain) == told
