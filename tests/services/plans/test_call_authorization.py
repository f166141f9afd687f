"""The calls of users' plans are held to the records of their operations: what is not known as theirs is not there."""

from typing import Any

import pytest
from attrs import define, field

from orchestrator.errors import NotFound, PermissionMissing, Unprocessable
from orchestrator.models.plans.orchestration import ONCE, ServiceCall
from orchestrator.services.plans.call_authorization import MOST_NAMED, CallAuthorization
from orchestrator.services.plans.call_executor import PlannedCall
from orchestrator.store.plans.ownership import Registered
from tests.services.plans.planned import FakePlanAttempt
from tests.support.calls import call_context

MINE, HERS = "0190a000-0000-7000-8000-000000000001", "0190a000-0000-7000-8000-000000000002"
EXECUTE, ASKED = ("agent_execution", "execute"), {"agent_id": "echo", "query": "?"}
UNKNOWN = "0190a000-0000-7000-8000-00000000dead"


@define
class Calls:
    """Answers every call in the same way, and remembers it; conversations that are not there are not found."""

    result: Any = None
    there: tuple[str, ...] = ()
    made: list[str] = field(factory=list)

    async def perform(self, call: PlannedCall) -> Any:
        self.made.append(f"{call.step.service}.{call.step.operation}")
        if call.step.operation == "messages" and call.step.parameters["conversation_id"] not in self.there:
            raise NotFound("There is no conversation.")
        return self.result


@define
class Ownership:
    """A tenant where all that is called `MINE` is Ana's, and all that is called `HERS` is Bea's."""

    registered: dict[str, str] = field(factory=dict)

    async def of_session(self, tenant_id: str, session_id: str) -> str | None:
        return {MINE: "ana", HERS: "bea"}.get(session_id)

    async def of_conversation(self, tenant_id: str, conversation_id: str) -> str | None:
        return await self.of_session(tenant_id, conversation_id) or self.registered.get(conversation_id)

    async def of_message(self, tenant_id: str, message_id: str, user_id: str) -> str | None:
        return await self.of_session(tenant_id, message_id)

    async def of_task(self, tenant_id: str, task_id: str) -> str | None:
        return await self.of_session(tenant_id, task_id)

    async def register(self, tenant_id: str, kind: Registered, name: str, user_id: str, seconds: int) -> bool:
        return self.registered.setdefault(name, user_id) == user_id


async def run(
    calls: Calls, service: str, operation: str, ownership: Ownership | None = None, /, **parameters: Any
) -> Any:
    step = ServiceCall(service, operation, ONCE, parameters=parameters)
    authorized = CallAuthorization(calls, ownership or Ownership(), 60)  # type: ignore[arg-type] # no Redis behind it
    return await authorized.perform(PlannedCall("it", step, call_context(), FakePlanAttempt()))


@pytest.mark.parametrize(("service", "operation"), [("nowhere", "get"), ("query", "delete")])
async def test_an_operation_without_a_record_is_refused(service: str, operation: str) -> None:
    calls = Calls()
    with pytest.raises(PermissionMissing, match=rf"A plan can't call {service}\.{operation}"):
        await run(calls, service, operation)
    assert calls.made == []


@pytest.mark.parametrize(
    ("service", "operation", "name", "more"),
    [
        ("conversation", "create", "user_id", {}),
        ("conversation", "create", "session_id", {"user_id": "ana"}),
        ("conversation", "create", "conversation_id", {"user_id": "ana"}),
        ("conversation", "messages", "conversation_id", {}),
        ("conversation", "append", "conversation_id", {"role": "user", "content": "x"}),
        ("conversation", "delete", "conversation_id", {"message_id": "m"}),
        ("conversation", "context", "conversation_id", {}),
        ("query", "generate", "conversation_id", {"query": "?"}),
        ("agent_management", "feedback", "user_id", {"agent_id": "echo"}),
        ("agent_management", "feedback", "session_id", {"agent_id": "echo"}),
        ("agent_management", "feedback", "message_id", {"agent_id": "echo"}),
        ("agent_execution", "get", "task_id", {}),
        ("agent_execution", "cancel", "task_id", {}),
        ("agent_execution", "tool_result", "task_id", {"tool_call_id": "c", "status": "success"}),
        ("workflow_engine", "get", "execution_id", {}),
        ("workflow_engine", "cancel", "execution_id", {}),
        ("workflow_engine", "input", "execution_id", {"node_id": "n", "input": 1}),
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        HERS,
        UNKNOWN,
        HERS.upper(),
        HERS.replace("-", ""),
        f"{{{HERS}}}",
        f" {HERS}",
        f"{HERS}\n",
        f"urn:uuid:{HERS}",
        HERS.replace("0", "\uff10"),
        [HERS],
        {"id": HERS},
        7,
        True,
        "",
    ],
)
async def test_what_is_not_known_as_the_users_is_not_there(
    service: str, operation: str, name: str, more: dict[str, Any], value: Any
) -> None:
    calls = Calls()
    with pytest.raises(NotFound, match="There is no "):
        await run(calls, service, operation, None, **more, **{name: value})
    assert calls.made == []


@pytest.mark.parametrize("name", ["user_id", "session_id", "conversation_id", "tenant_id"])
@pytest.mark.parametrize("parameter", ["context", "agent_config"])
async def test_an_agent_is_told_of_nothing_that_is_another_users_however_deep(parameter: str, name: str) -> None:
    calls = Calls()
    with pytest.raises(NotFound):
        await run(calls, *EXECUTE, None, **ASKED, **{parameter: {"a": [{name: HERS}]}})
    with pytest.raises(NotFound):
        await run(calls, *EXECUTE, None, **ASKED, **{parameter: {"a": [{name: [HERS]}]}})
    assert calls.made == []
    own = {"a": {"user_id": "ana", "session_id": MINE, "conversation_id": MINE, "tenant_id": "acme"}}
    await run(calls, *EXECUTE, None, **ASKED, **{parameter: own})
    assert calls.made == ["agent_execution.execute"]


async def test_a_call_names_no_more_than_can_be_looked_up() -> None:
    many = [{"session_id": MINE}] * (MOST_NAMED + 1)
    with pytest.raises(Unprocessable, match="name more than"):
        await run(Calls(), *EXECUTE, None, **ASKED, context={"of": many})


@pytest.mark.parametrize("agent_id", ["../other", "a/b", "a b", "a:b", ["echo"], None, "ä"])
async def test_what_a_tenant_shares_is_named_by_an_identifier(agent_id: Any) -> None:
    calls = Calls()
    with pytest.raises(NotFound):
        await run(calls, "agent_management", "get", agent_id=agent_id)
    assert calls.made == []


async def test_what_is_the_users_is_asked_for() -> None:
    calls = Calls({"messages": []}, there=(MINE,))
    assert await run(calls, "conversation", "messages", conversation_id=MINE, after=None) == {"messages": []}
    assert calls.made == ["conversation.messages"]


async def test_a_conversation_that_a_plan_begins_is_its_users() -> None:
    ownership, calls = Ownership(), Calls({"conversation_id": "named-by-the-service"})
    await run(calls, "conversation", "create", ownership, user_id="ana", agent_id="echo")
    assert ownership.registered == {"named-by-the-service": "ana"}


async def test_a_plan_may_name_a_new_conversation_that_is_not_there() -> None:
    ownership, calls = Ownership(), Calls({"conversation_id": "c-1"})
    asked = {"user_id": "ana", "agent_id": "echo", "conversation_id": "c-1"}
    for _ in range(2):
        await run(calls, "conversation", "create", ownership, **asked)
    assert calls.made == ["conversation.messages", "conversation.create", "conversation.create"]
    assert ownership.registered == {"c-1": "ana"}


async def test_a_plan_begins_no_conversation_that_is_there_already_or_is_another_users() -> None:
    asked = {"user_id": "ana", "agent_id": "echo", "conversation_id": "c-1"}
    there, taken = Calls(there=("c-1",)), Calls()
    with pytest.raises(NotFound):
        await run(there, "conversation", "create", None, **asked)
    with pytest.raises(NotFound):
        await run(taken, "conversation", "create", Ownership({"c-1": "bea"}), **asked)
    assert (there.made, taken.made) == (["conversation.messages"], [])


async def test_a_conversation_of_another_user_that_a_service_names_is_not_shown() -> None:
    calls = Calls({"conversation_id": HERS, "about": "her"})
    with pytest.raises(NotFound):
        await run(calls, "conversation", "create", Ownership({HERS: "bea"}), user_id="ana", agent_id="echo")


@pytest.mark.parametrize("operation", ["get", "list"])
async def test_a_plan_does_not_see_what_an_agent_is_told_to_be(operation: str) -> None:
    told = {"agent_id": "echo", "system_prompt": "You are an echo."}
    given = {"agent_id": "echo"} if operation == "get" else {}
    result = await run(Calls({**told, "agents": [told]}), "agent_management", operation, None, **given)
    hidden = {**told, "system_prompt": None}
    assert result == {**hidden, "agents": [hidden]}
