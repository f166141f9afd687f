"""Failures as the platform's documents write them."""

import pytest

from orchestrator import errors
from orchestrator.dialects.frontend_errors import code_of
from orchestrator.errors import BadGateway, OrchestratorError, TokenExpired
from orchestrator.models.common.envelope import FieldFault
from tests.platform.served import SESSION, Served, lacks, sent
from tests.platform.vectors import vector

UNKNOWN = "5e550000-0000-4000-8000-00000000dead"


def kinds(kind: type[OrchestratorError] = OrchestratorError) -> list[type[OrchestratorError]]:
    """Every kind of failure."""
    return [kind, *(inner for one in kind.__subclasses__() for inner in kinds(one))]


def test_a_failure_has_the_documented_fields(served: Served) -> None:
    request = {**sent("rest-session-create-req"), "data": {}, "source_service": "a-client"}
    failed = served.ask("POST", "/api/v1/session.create", request)
    faults = [fault for fault in lacks("err-rest", failed) if not fault.startswith("$.error.details")]
    assert faults == []
    assert failed.json["correlation_id"] == request["correlation_id"]
    assert failed.json["error"]["details"][0].keys() == {"path", "message"}


def test_a_frontend_is_told_by_the_codes_of_its_guide(served: Served) -> None:
    request = sent("rest-chat-message-req", {SESSION: UNKNOWN})
    failed = served.ask("POST", "/api/v1/chat.message", request)
    assert lacks("err-frontend-rest", failed) == []
    assert failed.data["code"] == "SESSION.NOT_FOUND"
    assert failed.data["transaction_id"] == request["correlation_id"]
    assert failed.data["request_id"] == failed.json["meta"]["request_id"]
    assert failed.json["error"]["code"] == "ORCH_NOTF_001"
    malformed = served.ask("POST", "/api/v1/chat.message", {**request, "data": {}})
    assert malformed.data["code"] == "SYSTEM.INVALID_MESSAGE"
    odd = served.ask("POST", "/api/v1/chat.message", {**request, "created_at": "soon"})
    assert (odd.status, odd.data["code"]) == (400, "SYSTEM.INVALID_MESSAGE")


def test_all_others_are_told_by_the_error_alone(served: Served) -> None:
    failed = served.ask("GET", f"/api/v1/session.get/{UNKNOWN}")
    assert (failed.status, failed.data) == (404, None)
    told = served.ask("GET", f"/api/v1/session.get/{UNKNOWN}", **{"X-Source-Service": "frontend"})
    assert told.data["code"] == "SESSION.NOT_FOUND"


def test_a_frontend_that_may_not_pass_says_in_a_header_what_it_is(served: Served) -> None:
    refused = served.ask("GET", "/api/v1/session.list", token="nothing", **{"X-Source-Service": "frontend"})
    assert (refused.status, refused.data["code"]) == (401, "SYSTEM.AUTH_FAILED")


@pytest.mark.parametrize("row", vector("err-matrix").example["types"], ids=lambda row: row["type"])
def test_the_types_are_those_of_the_matrix(row: dict[str, object]) -> None:
    statuses = {kind.status for kind in kinds() if kind.type == row["type"]}
    taken = {"invalid_session": {410}, "validation_error": {400, 405}, "not_implemented": statuses}
    assert statuses == taken.get(str(row["type"]), {row["http_status"]})


@pytest.mark.parametrize(
    ("told", "ours"),
    [(row["code"], one) for row in vector("err-frontend-codes").example for one in row["ours"]],
)
def test_the_guides_codes_stand_for_those_that_it_lists(told: str, ours: str) -> None:
    code, _, said = ours.partition(",")
    code = code.split()[0]
    error: OrchestratorError = next(kind for kind in kinds() if kind.code == code)("It failed.")
    if "expired" in said:
        error = TokenExpired("The token has expired.")
    elif "Agent Execution" in ours:
        refused = FieldFault("agent_execution", "AGEX_CONTENT_POLICY: the content is not allowed")
        error = BadGateway("Agent Execution could not do it.", details=[refused])
    assert code_of(error, told.partition(".")[0].lower()) == told


@pytest.mark.parametrize("row", vector("err-matrix").example["codes"], ids=lambda row: row["code"])
def test_the_codes_are_those_of_the_matrix(row: dict[str, object]) -> None:
    found = [kind for kind in kinds() if kind.code == row["code"]]
    assert row["http_status"] in {kind.status for kind in found}
    if row["code"] != "ORCH_SYS_001":
        assert row["retryable"] in {kind.retryable for kind in found}
    assert errors.InternalFault.retryable is False


def test_a_frontend_that_may_not_pass_is_known_by_its_envelope(served: Served) -> None:
    request = sent("rest-chat-message-req", {SESSION: UNKNOWN})
    refused = served.ask("POST", "/api/v1/chat.message", request, token="nothing")
    assert (refused.status, refused.data["code"]) == (401, "SYSTEM.AUTH_FAILED")
    assert lacks("err-frontend-rest", refused)[:1] == ["the status is 401"]
    assert refused.json["correlation_id"] == refused.data["transaction_id"] == request["correlation_id"]
    elsewhere = served.ask("POST", "/api/v1/chat.message", {**request, "tenant_id": "globex"})
    assert (elsewhere.status, elsewhere.data["code"]) == (403, "SYSTEM.PERMISSION_DENIED")
    for body in ({**request, "source_service": "a-client"}, request["data"], {"source_service": "frontend"}, None):
        other = served.ask("POST", "/api/v1/chat.message", body, token="nothing")
        assert (other.status, other.data) == (401, None)
