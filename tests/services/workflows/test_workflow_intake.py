"""What `workflow.execute` and the routes beside it refuse, and say of it."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.tasks.task import Lane
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from orchestrator.store.scheduling.ready import ReadyTenants
from tests.services.workflows.house import House, open_house
from tests.support.credentials import SECRET


@pytest.fixture
async def house(redis_url: str) -> AsyncIterator[House]:
    async with open_house(redis_url) as house:
        yield house


ECHO = {"service": "agent_execution", "operation": "execute", "parameters": {"agent_id": "echo", "query": "hi"}}
PLAN = {"calls": {"ask": ECHO}}
RING = {"a": {**ECHO, "depends_on": ["b"]}, "b": {**ECHO, "depends_on": ["a"]}}


async def test_what_can_not_be_run_is_refused_and_nothing_is_stored(house: House) -> None:
    closed = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    await house.call("DELETE", f"session.close/{closed}")
    foreign = (await house.call("POST", "session.create", {"agent_id": "echo"}, user="bob")).data["session_id"]
    later, past, never = to_timestamp(now_ms() + 3_600_000), "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "arithmetic", "plan": PLAN}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "unknown"}, 404, "ORCH_NOTF_001"),
        ({"workflow_id": "a:b"}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "input": []}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "mode": "later"}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "priority": 10}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "timeout_ms": 0}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "surprise": 1}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "session_id": "unknown"}, 404, "ORCH_NOTF_001"),
        ({"workflow_id": "approval", "session_id": foreign}, 404, "ORCH_NOTF_001"),
        ({"workflow_id": "approval", "session_id": closed}, 410, "ORCH_SESS_001"),
        ({"workflow_id": "approval", "scheduled_for": "tomorrow"}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "scheduled_for": "9999-12-31T23:59:59-23:59"}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "scheduled_for": past}, 422, "ORCH_VAL_002"),
        ({"workflow_id": "approval", "scheduled_for": never}, 422, "ORCH_VAL_002"),
        ({"workflow_id": "approval", "scheduled_for": later, "mode": "wait"}, 422, "ORCH_VAL_002"),
        ({"workflow_id": "approval", "callback": {"url": "http://127.0.0.1/hook"}}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "callback": {"url": "ftp://example.org"}}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "callback": {"url": "https://example.org", "events": ["x"]}}, 400, "ORCH_VAL_001"),
        ({"workflow_id": "approval", "callback": {"url": "https://example.org", "events": []}}, 400, "ORCH_VAL_001"),
        ({"plan": {}}, 400, "ORCH_VAL_001"),
        ({"plan": {"calls": {}}}, 400, "ORCH_VAL_001"),
        (
            {"plan": {"calls": {"a": {**ECHO, "depends_on": ["b"]}, "b": {**ECHO, "depends_on": ["a"]}}}},
            422,
            "ORCH_VAL_002",
        ),
    ]
    for body, status, code in cases:
        assert (await house.call("POST", "workflow.execute", body)).fault == (status, code), body
    assert (await house.call("GET", "task.list")).data["items"] == []


async def test_a_name_that_would_lead_elsewhere_is_refused_with_its_path(house: House) -> None:
    for route, name in (("workflow.execute", "workflow_id"), ("tool.execute", "tool_id")):
        refused = await house.call("POST", route, {name: ".."})
        assert (refused.fault, refused.paths) == ((400, "ORCH_VAL_003"), [f"$.{name}"])


async def test_a_plan_is_told_all_its_faults_at_once(house: House) -> None:
    plan = {
        "calls": {
            "a": {"service": "weather", "operation": "execute"},
            "b": {"service": "tool_registry", "operation": "fly"},
            "c": {**ECHO, "depends_on": ["nobody"]},
            "d": {**ECHO, "parameters": {"agent_id": "echo", "query": "$.calls.e.result"}},
        }
    }
    refused = await house.call("POST", "workflow.execute", {"plan": plan})
    assert refused.fault == (422, "ORCH_VAL_002")
    assert {f"$.data.plan.calls.{place}" for place in ("a.service", "b.operation", "c.depends_on[0]")} <= {
        *refused.paths
    }
    assert "$.data.plan.calls.d.parameters.query" in refused.paths


async def test_a_workflow_is_accepted_while_the_engine_can_not_be_asked_for_it(house: House) -> None:
    for kind in (InjectedFaultKind.ERROR, InjectedFaultKind.HANG, InjectedFaultKind.GARBAGE):
        house.sandbox.faults.clear()
        house.sandbox.faults.add(InjectedFault(kind, "workflow_engine", "definition", status=503))
        task_id = await house.start("unknown")
        await house.until(task_id, "failed")
        assert (await house.results(task_id))["error"]["code"] == "ORCH_NOTF_001"


async def test_workflows_of_others_are_not_there(house: House) -> None:
    task_id = await house.start("approval")
    await house.until(task_id, "waiting")
    given = {"node_id": "ask", "input": {"approved": True}}
    for method, route, body in (
        ("GET", "workflow.status", None),
        ("GET", "workflow.results", None),
        ("POST", "workflow.input", given),
        ("DELETE", "workflow.cancel", None),
    ):
        answer = await house.call(method, f"{route}/{task_id}", body, user="bob")
        assert answer.fault == (404, "ORCH_NOTF_001"), route
        assert (await house.call(method, f"{route}/unknown", body)).fault == (404, "ORCH_NOTF_001"), route
    assert (await house.status(task_id))["status"] == "waiting"


async def test_a_task_of_another_kind_takes_no_input_of_its_user(house: House) -> None:
    session_id = (await house.call("POST", "session.create", {"agent_id": "echo"})).data["session_id"]
    said = await house.call("POST", "chat.message", {"session_id": session_id, "content": "hi", "mode": "wait"})
    [task] = (await house.call("GET", "task.list")).data["items"]
    assert said.status == 200
    given = await house.call("POST", f"workflow.input/{task['task_id']}", {"node_id": "ask", "input": 1})
    assert given.fault == (404, "ORCH_NOTF_001")


async def test_bad_input_for_a_workflow_is_refused(house: House) -> None:
    task_id = await house.start("approval")
    await house.until(task_id, "waiting")
    bodies: list[Any] = [None, {}, {"node_id": "ask"}, {"node_id": "", "input": 1}, {"input": 1}, [1]]
    for body in bodies:
        assert (await house.call("POST", f"workflow.input/{task_id}", body)).fault == (400, "ORCH_VAL_001"), body
    assert (await house.status(task_id))["status"] == "waiting"


async def test_each_route_needs_its_permission(house: House) -> None:
    token = create_token(SECRET, "acme", "ann", permissions=["chat:write"])
    headers = {"Authorization": f"Bearer {token}"}
    for method, route, body in (
        ("POST", "workflow.execute", {"workflow_id": "approval"}),
        ("GET", "workflow.list", None),
        ("GET", "workflow.status/t", None),
        ("GET", "workflow.results/t", None),
        ("POST", "workflow.input/t", {"node_id": "a", "input": 1}),
        ("DELETE", "workflow.cancel/t", None),
    ):
        answer = await house.http.request(method, f"{house.url}/api/v1/{route}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ORCH_AUTH_003"), route


async def test_a_foreign_entry_that_is_no_workflow_is_refused(house: House, redis_url: str) -> None:
    keys = Keys()
    payloads: list[Any] = [
        {"plan": [1]},
        {"plan": {"calls": {"a": 1}}},
        {"plan": {"calls": RING}},
        {"workflow_id": 7},
        {"workflow_id": "approval", "input": [1]},
        {},
    ]
    async with open_redis(redis_url) as redis:
        for number, payload in enumerate([*payloads, {"workflow_id": "arithmetic", "input": {"expression": "1 + 1"}}]):
            message = {
                "message_id": f"m{number}",
                "task_id": f"t{number}",
                "tenant_id": "acme",
                "correlation_id": f"c{number}",
                "created_at": "2026-01-01T00:00:00.000Z",
                "type": {"domain": "workflow", "action": "execute"},
                "metadata": {"user_id": "ann"},
                "payload": payload,
            }
            await redis.xadd(keys.lane("acme", Lane.NORMAL), {"message": orjson.dumps(message)})
        await redis.sadd(keys.tenants, "acme")
        await ReadyTenants(redis, keys).mark("acme")
    await house.until("t6", "completed")
    for number in range(len(payloads)):
        assert (await house.until(f"t{number}", "failed"))["status"] == "failed"
        error = (await house.results(f"t{number}"))["error"]
        assert error["code"] in {"ORCH_VAL_001", "ORCH_VAL_002"}, payloads[number]


async def test_a_plan_does_nothing_that_its_user_may_not_do(house: House) -> None:
    token = create_token(SECRET, "acme", "ann", permissions=["workflow:execute", "chat:write", "tool:read"])
    tool = {
        "service": "tool_registry",
        "operation": "execute",
        "parameters": {"tool_id": "calculator", "parameters": {}},
    }
    listing = {"service": "tool_registry", "operation": "list"}
    plan = {"calls": {"look": listing, "use": tool, "ask": {**ECHO, "compensate": tool}}}
    reply = await house.call("POST", "workflow.execute", {"plan": plan}, Authorization=f"Bearer {token}")
    assert reply.fault == (403, "ORCH_AUTH_003")
    assert reply.paths == ["$.data.plan.calls.use", "$.data.plan.calls.ask.compensate"]
    assert (await house.call("GET", "task.list")).data["items"] == []


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "needed"),
    [
        ("agent_execution", "execute", {"agent_id": "echo", "query": "hi"}, "chat:write"),
        ("query", "generate", {"query": "hi"}, "query:execute"),
        ("query", "search", {"query": "hi"}, "query:execute"),
        ("embedding", "create", {"texts": ["hi"]}, "embedding:execute"),
    ],
)
async def test_the_permission_to_run_workflows_alone_runs_no_agents_and_no_models(
    house: House, service: str, operation: str, parameters: dict[str, Any], needed: str
) -> None:
    plan = {"calls": {"it": {"service": service, "operation": operation, "parameters": parameters}}}
    token = create_token(SECRET, "acme", "ann", permissions=["workflow:execute"])
    refused = await house.call("POST", "workflow.execute", {"plan": plan}, Authorization=f"Bearer {token}")
    assert refused.fault == (403, "ORCH_AUTH_003")
    assert f"takes the permission '{needed}'" in refused.text
    assert house.sandbox.calls[service, operation] == 0
    token = create_token(SECRET, "acme", "ann", permissions=["workflow:execute", needed])
    assert (await house.call("POST", "workflow.execute", {"plan": plan}, Authorization=f"Bearer {token}")).status == 202


@pytest.mark.parametrize("choice", [{"tools": []}, {"agent_config": {"agent_id": "echo", "version": "1", "name": "E"}}])
async def test_who_chooses_the_tools_of_an_agent_needs_the_permission_to_run_tools(
    house: House, choice: dict[str, Any]
) -> None:
    ask = {"service": "agent_execution", "operation": "execute"}
    plan = {"calls": {"ask": {**ask, "parameters": {"agent_id": "echo", "query": "hi", **choice}}}}
    token = create_token(SECRET, "acme", "ann", permissions=["workflow:execute", "chat:write"])
    refused = await house.call("POST", "workflow.execute", {"plan": plan}, Authorization=f"Bearer {token}")
    assert refused.fault == (403, "ORCH_AUTH_003")
    assert refused.paths == [f"$.data.plan.calls.ask.parameters.{next(iter(choice))}"]


async def test_a_plan_that_an_operator_changes_does_nothing_that_the_operator_may_not_do(house: House) -> None:
    begun = await house.call("POST", "workflow.execute", {"plan": {"calls": {"ask": ECHO}}, "input": {"text": "hi"}})
    await house.until(begun.data["task_id"], "completed")
    tool = {
        "service": "tool_registry",
        "operation": "execute",
        "parameters": {"tool_id": "calculator", "parameters": {}},
    }
    narrow = create_token(SECRET, "acme", "op", Role.OPERATOR, permissions=["task:write"])
    asked = {"changes": {"payload.plan.calls.ask": tool}}
    path = f"task.replay/{begun.data['task_id']}"
    refused = await house.call("POST", path, asked, Authorization=f"Bearer {narrow}")
    assert refused.fault == (403, "ORCH_AUTH_003")
    assert refused.paths == ["$.payload.plan.calls.ask"]
    whole = create_token(SECRET, "acme", "op", Role.OPERATOR)
    assert (await house.call("POST", path, asked, Authorization=f"Bearer {whole}")).status == 202


async def test_a_plan_acts_only_for_its_user(house: House) -> None:
    begin = {"service": "conversation", "operation": "create", "parameters": {"user_id": "bob", "agent_id": "echo"}}
    reply = await house.call("POST", "workflow.execute", {"plan": {"calls": {"begin": begin}}, "mode": "wait"})
    assert reply.fault == (404, "ORCH_NOTF_001")
