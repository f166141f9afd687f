"""Messages of agents: a token is read the same whichever way it is told."""

from typing import Any

import pytest

from orchestrator.clients.agent_messages import UnknownPiece, read_message
from orchestrator.clients.transport.answers import ServiceAnswer
from orchestrator.errors import InvalidAnswer, OrchestratorError
from orchestrator.models.agents.agent import AgentStatus, AgentToken
from orchestrator.models.events.events import StreamContent

TYPE = {"domain": "agent", "action": "token"}
SAYINGS = [
    ({"token": "x"}, AgentToken("x", StreamContent.RESPONSE)),
    ({"token": ""}, AgentToken("", StreamContent.RESPONSE)),
    ({"token": "x", "content_type": None, "is_last": None}, AgentToken("x", StreamContent.RESPONSE)),
    ({"token": "x", "content_type": "thinking"}, AgentToken("x", StreamContent.THINKING)),
    ({"token": "x", "is_last": True, "more": 1}, AgentToken("x", StreamContent.RESPONSE, is_last=True)),
    ({"token": "x", "content_type": "odd"}, UnknownPiece("agent.token:odd")),
]


@pytest.mark.parametrize("kind", [TYPE, "agent.token", {**TYPE, "more": 1}], ids=["plain", "text", "more"])
@pytest.mark.parametrize(("payload", "expected"), SAYINGS)
def test_a_token_is_read_however_its_type_is_told(kind: Any, payload: dict[str, Any], expected: object) -> None:
    message = {"type": kind, "payload": payload}
    assert read_message(ServiceAnswer("agent_execution", message)) == expected
    assert read_message(ServiceAnswer("agent_execution", {**message, "metadata": {}})) == expected


@pytest.mark.parametrize("kind", [TYPE, "agent.token"], ids=["plain", "text"])
@pytest.mark.parametrize(
    ("payload", "name"),
    [
        ({}, "$.payload.token is missing"),
        ({"token": None}, "$.payload.token is missing"),
        ({"token": 1}, "$.payload.token must be"),
        ({"token": "x", "content_type": 1}, "$.payload.content_type must be"),
        ({"token": "x", "is_last": 1}, "$.payload.is_last must be"),
        ("x", "$.payload must be an object"),
        (None, "$.payload is missing"),
    ],
)
def test_a_malformed_token_is_named_by_its_field(kind: Any, payload: Any, name: str) -> None:
    with pytest.raises(InvalidAnswer) as raised:
        read_message(ServiceAnswer("agent_execution", {"type": kind, "payload": payload}))
    assert name in raised.value.message


@pytest.mark.parametrize(
    ("payload", "progress"),
    [({"progress": 40}, 0.4), ({"percentage": 40}, 0.4), ({"progress": 0.4, "progress_percentage": 40}, 0.4)],
)
def test_the_progress_of_an_agent_is_in_percent_by_whichever_name(payload: dict[str, Any], progress: float) -> None:
    said = read_message(ServiceAnswer("agent_execution", {"type": "agent.status", "payload": payload}))
    assert isinstance(said, AgentStatus)
    assert said.progress == progress


def test_a_token_may_have_its_fields_in_data() -> None:
    message = {"type": TYPE, "schema_version": "1.0", "data": {"token": "x"}}
    assert read_message(ServiceAnswer("agent_execution", message)) == AgentToken("x", StreamContent.RESPONSE)


@pytest.mark.parametrize(
    "message",
    [
        {"error": {"code": "BROKEN", "message": "It broke."}},
        {"type": "agent.error", "data": {"error_code": "BROKEN", "error_message": "It broke."}},
    ],
)
def test_an_error_is_one_without_a_type_and_in_data(message: dict[str, Any]) -> None:
    with pytest.raises(OrchestratorError) as raised:
        read_message(ServiceAnswer("agent_execution", message))
    assert [fault.message for fault in raised.value.details] == ["BROKEN: It broke."]


@pytest.mark.parametrize("kind", [TYPE, "agent.token"], ids=["plain", "text"])
def test_a_token_with_an_error_is_a_failure(kind: Any) -> None:
    message = {"type": kind, "payload": {"token": "x"}, "error": {"code": "BROKEN", "message": "It broke."}}
    with pytest.raises(OrchestratorError) as raised:
        read_message(ServiceAnswer("agent_execution", message))
    assert "BROKEN" in str(raised.value.message) + str(raised.value.details)
