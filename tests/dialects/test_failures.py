"""A failure is found wherever a service tells it, with what a later try is worth."""

from typing import Any

import pytest

from orchestrator.clients.transport.http_errors import told_error
from orchestrator.dialects.failures import failure_in, read_failure
from orchestrator.errors import NotFound, ReportedFailure, ReportedTimeout, ServiceRefused
from tests.platform.vectors import vector


@pytest.mark.parametrize(
    ("name", "sentence", "retryable"),
    [
        ("svc-ae-error", "LLM_PROVIDER_ERROR: no model answered", True),
        ("svc-we-error", "workflow.execute.step_failed: a step failed", True),
        ("svc-cs-error", "context.retrieve.processing_error: no context could be made", True),
        ("svc-tr-error", "tool.execute.invalid_parameters: not a term", False),
        ("svc-am-error", "agent.configuration.not_found: no such agent", False),
        ("err-message", "GEN_005: a service is away", True),
        ("err-embedded", "AGEX_CONN_001: no model answered", True),
    ],
)
def test_each_documented_shape_tells_its_code_and_words(name: str, sentence: str, retryable: bool) -> None:
    told = failure_in(vector(name).example)
    assert told is not None
    assert (told.sentence, told.retryable) == (sentence, retryable)


@pytest.mark.parametrize("name", ["svc-ae-response", "svc-tr-execute-res", "svc-we-execution-res", "svc-ae-status"])
def test_an_answer_without_failure_tells_none(name: str) -> None:
    assert failure_in(vector(name).example) is None


def test_waits_are_told_in_ms_or_in_seconds() -> None:
    assert read_failure(vector("svc-we-error").example).retry_after_ms == 1500
    assert read_failure(vector("svc-cs-error").example).retry_after_ms == 2000
    assert read_failure({"error": {"code": "X", "context": {"retry_after": 10**9}}}).retry_after_ms == 3_600_000


@pytest.mark.parametrize(
    ("said", "retryable"),
    [
        ({"error": {"code": "X", "retryable": True}}, True),
        ({"error": {"code": "X", "retry_suggested": True}}, True),
        ({"error": {"code": "X", "context": {"retryable": True}}}, True),
        ({"metadata": {"error": {"code": "X", "retry_allowed": True}}}, True),
        ({"metadata": {"error_code": "X", "recovery_action": "retry"}, "status": "error"}, True),
        ({"metadata": {"error_code": "X", "recovery_action": "abort"}, "status": "error"}, False),
        ({"metadata": {"error_code": "X", "error_category": "quota"}, "status": "error"}, True),
        (
            {
                "metadata": {"error_code": "X", "error_category": "security", "recovery_action": "retry"},
                "status": "error",
            },
            False,
        ),
        ({"error": {"code": "X"}}, None),
    ],
)
def test_a_later_try_is_told_in_five_ways(said: dict[str, Any], retryable: bool | None) -> None:
    told = failure_in(said)
    assert told is not None
    assert told.retryable is retryable


def _codes() -> list[dict[str, Any]]:
    return [*vector("err-service-codes").example, *vector("err-dotted-codes").example]


@pytest.mark.parametrize("listed", _codes(), ids=lambda listed: str(listed["code"]))
def test_a_listed_code_says_what_its_answer_does_not(listed: dict[str, Any]) -> None:
    told = read_failure({"error": {"code": listed["code"], "message": "m"}})
    assert (told.retryable, told.status) == (listed["retryable"], listed["http_status"])
    error = told_error("tool_registry", told, own=True)
    assert error.details[0].message == f"{listed['code']}: m"
    assert error.retryable is listed["retryable"]
    expected = {404: NotFound, 408: ReportedTimeout, 504: ReportedTimeout}.get(listed["http_status"])
    assert type(error) is (expected or (ReportedFailure if listed["retryable"] else ServiceRefused))
