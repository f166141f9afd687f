"""Every operation of every service, called by plans with what is Ann's, by all who must not reach it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import pytest

from orchestrator.clients.registry import OPERATIONS
from orchestrator.domain.permissions import ROLE_PERMISSIONS
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role
from orchestrator.models.downstream.operation import Operation, Owner
from tests.isolation.estate import WORD
from tests.services.workflows.house import Answered, House, open_house
from tests.support.credentials import SECRET

PLAIN: Final[Mapping[str, Any]] = {
    "role": "user",
    "content": "hi",
    "query": "hi",
    "texts": ["hi"],
    "status": "success",
    "parameters": {"expression": "1 + 1"},
    "steps": [],
    "input": {},
    "version": "1",
    "memory_key": "seat",
    "memory_value": "12A",
}
"""What required parameters that name nothing are given."""
SHARED: Final[Mapping[str, str]] = {
    "agent_id": "echo",
    "tool_id": "calculator",
    "workflow_id": "approval",
    "collection_id": "docs",
}
CALLERS: Final = ("another user", "another tenant's user", "narrower", "unknown")


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url, auth_failures=100_000) as house:
        yield house


def token(caller: str, operation: Operation) -> str:
    if caller == "another user":
        return create_token(SECRET, "acme", "bob")
    if caller == "another tenant's user":
        return create_token(SECRET, "globex", "eve")
    if caller == "narrower":
        assert operation.plan is not None
        # Without it there is no plan; it includes the permission to read of workflows.
        allowed = (ROLE_PERMISSIONS[Role.USER] - {operation.plan.permission}) | {"workflow:execute"}
        return create_token(SECRET, "acme", "ann", permissions=allowed)
    return create_token(SECRET, "acme", "ann")


def owned(operation: Operation) -> list[str]:
    """The parameters by which an operation names what has one user as its owner."""
    assert operation.plan is not None
    names = {*operation.path_parameters, *operation.required, *operation.optional} - operation.reserved
    own = names & operation.plan.owners.keys()
    return sorted(name for name in own if operation.plan.owners[name] not in {Owner.TENANT, Owner.WITHIN})


def attempts(operation: Operation, mine: Mapping[Owner, str]) -> Iterator[dict[str, Any]]:
    """Parameters of calls: each with one thing of Ann's, through a reference; once, where there is nothing to name."""
    assert operation.plan is not None
    names = [*operation.path_parameters, *operation.required]
    for victim in owned(operation) or [""]:
        given: dict[str, Any] = {}
        for name in [*names, *([victim] if victim and victim not in names else [])]:
            owner = operation.plan.owners.get(name)
            if name == victim:
                given[name] = "$.input.hers"
            elif owner is None:
                given[name] = PLAIN[name]
            elif owner is Owner.USER:
                given[name] = "$.input.me"
            elif owner is Owner.TENANT:
                given[name] = SHARED[name]
            else:
                given[name] = "m" if owner is Owner.WITHIN else "$.input.hers"
        yield {"parameters": given, "hers": mine[operation.plan.owners[victim]] if victim else ""}


async def call(house: House, operation: Operation, attempt: dict[str, Any], bearer: str, me: str) -> Answered:
    step = {
        "service": operation.service,
        "operation": operation.name,
        "parameters": attempt["parameters"],
        "retry_policy": "once",
        "timeout_ms": 2000,
    }
    plan = {"plan": {"calls": {"it": step}}, "input": {"hers": attempt["hers"], "me": me}, "mode": "wait"}
    return await house.call("POST", "workflow.execute", plan, Authorization=f"Bearer {bearer}")


async def test_no_operation_reaches_what_is_anothers(house: House) -> None:
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    asked = {"session_id": session_id, "content": WORD, "mode": "wait"}
    said = await house.call("POST", "chat.message", asked)
    [task] = (await house.call("GET", "task.list")).data["items"]
    mine = {
        Owner.USER: "ann",
        Owner.SESSION: session_id,
        Owner.CONVERSATION: session_id,
        Owner.NEW_CONVERSATION: session_id,
        Owner.MESSAGE: said.data["message_id"],
        Owner.TASK: task["task_id"],
    }
    unknown = {**dict.fromkeys(mine, new_id()), Owner.USER: "eve"}
    assert set(Owner) - mine.keys() == {Owner.TENANT, Owner.WITHIN}
    for operation in OPERATIONS.values():
        assert operation.plan is not None
        for caller in CALLERS:
            me = {"another user": "bob", "another tenant's user": "eve"}.get(caller, "ann")
            for attempt in attempts(operation, unknown if caller == "unknown" else mine):
                if not owned(operation) and caller != "narrower":
                    continue  # It names nothing that is one user's.
                before = house.sandbox.calls[operation.key]
                reply = await call(house, operation, attempt, token(caller, operation), me)
                says = (".".join(operation.key), caller, attempt, reply.text)
                given = {"workflow:execute", "workflow:read"}
                narrow = caller == "narrower" and operation.plan.permission not in given
                if caller == "narrower" and not narrow:
                    continue  # What Ann may do with what is hers.
                assert reply.fault == ((403, "ORCH_AUTH_003") if narrow else (404, "ORCH_NOTF_001")), says
                assert WORD not in reply.text, says
                assert house.sandbox.calls[operation.key] == before, says
    history = (await house.call("GET", f"chat.history/{session_id}")).data["items"]
    assert len(history) == 2
