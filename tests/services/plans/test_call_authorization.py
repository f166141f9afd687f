"""The calls of users' plans are held to the records of their operations."""

from typing import Any

import pytest
from attrs import define, field

from orchestrator.errors import NotFound, PermissionMissing
from orchestrator.models.plans.orchestration import ONCE, ServiceCall
from orchestrator.models.sessions.session import Session
from orchestrator.services.plans.call_authorization import CallAuthorization
from orchestrator.services.plans.call_executor import PlannedCall
from tests.services.plans.planned import FakePlanAttempt
from tests.support.calls import call_context
from tests.support.recorders.sessions import a_session


@define
class Calls:
    """Answers every call in the same way, and remembers it."""

    result: Any = None
    made: list[str] = field(factory=list)

    async def perform(self, call: PlannedCall) -> Any:
        self.made.append(f"{call.step.service}.{call.step.operation}")
        return self.result


class Sessions:
    """A tenant where `s1` is Ana's session, and `s2` Bob's."""

    async def get(self, viewer: Any, session_id: str) -> Session | None:
        owners = {"s1": "ana", "s2": "bob"}
        return a_session(session_id, user_id=owners[session_id]) if session_id in owners else None


async def run(calls: Calls, service: str, operation: str, **parameters: Any) -> Any:
    step = ServiceCall(service, operation, ONCE, parameters=parameters)
    authorized = CallAuthorization(calls, Sessions())  # type: ignore[arg-type] # it asks for sessions by id alone
    return await authorized.perform(PlannedCall("it", step, call_context(), FakePlanAttempt()))


@pytest.mark.parametrize(("service", "operation"), [("nowhere", "get"), ("query", "delete")])
async def test_an_operation_without_a_record_is_refused(service: str, operation: str) -> None:
    calls = Calls()
    with pytest.raises(PermissionMissing, match=rf"A plan can't call {service}\.{operation}"):
        await run(calls, service, operation)
    assert calls.made == []


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "reason"),
    [
        ("conversation", "create", {"user_id": "bob"}, "There is no user 'bob'"),
        ("agent_management", "feedback", {"agent_id": "echo", "user_id": ["ana"]}, "There is no user"),
        ("agent_management", "feedback", {"agent_id": "echo", "session_id": "s2"}, "There is no session s2"),
        ("conversation", "messages", {"conversation_id": "s2"}, "There is no conversation s2"),
        ("query", "generate", {"query": "?", "conversation_id": "s2"}, "There is no conversation s2"),
    ],
)
async def test_what_is_another_users_is_not_there(
    service: str, operation: str, parameters: dict[str, Any], reason: str
) -> None:
    calls = Calls()
    with pytest.raises(NotFound, match=reason):
        await run(calls, service, operation, **parameters)
    assert calls.made == []


@pytest.mark.parametrize("conversation_id", ["s1", "unknown", "not:an:id"])
async def test_what_is_nobody_elses_is_asked_for(conversation_id: str) -> None:
    calls = Calls({"messages": []})
    assert await run(calls, "conversation", "messages", conversation_id=conversation_id) == {"messages": []}
    assert calls.made == ["conversation.messages"]


async def test_a_plan_does_not_see_what_an_agent_is_told_to_be() -> None:
    told = {"agent_id": "echo", "system_prompt": "You are an echo."}
    assert await run(Calls(told), "agent_management", "get", agent_id="echo") == {**told, "system_prompt": None}
