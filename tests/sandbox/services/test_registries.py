"""The stand-ins of Agent Management and the Tool Registry."""

from typing import Any

import pytest

from orchestrator.sandbox.services.arithmetic import ArithmeticFault, evaluate
from tests.sandbox.conftest import Client
from tests.sandbox.orchestrator import FakeOrchestrator

EXECUTE = "/api/v1/tools/execute"


async def test_each_tenant_has_its_own_agents(client: Client, globex: Client) -> None:
    acme = await client.get("agent_management", "/api/v1/agents/acme")
    agents = {"calculator", "confirm", "delegate", "docs-guide", "echo", "llm", "reporter"}
    assert {agent["agent_id"] for agent in acme["agents"]} == agents
    other = await globex.get("agent_management", "/api/v1/agents/globex")
    assert {agent["agent_id"] for agent in other["agents"]} == {"docs-guide", "echo"}


async def test_an_unlisted_tenant_has_echo(client: Client) -> None:
    stranger = Client(client.http, client.urls, "initech")
    agents = await stranger.get("agent_management", "/api/v1/agents/initech")
    assert [agent["agent_id"] for agent in agents["agents"]] == ["echo"]


async def test_an_agent_comes_with_all_its_settings(client: Client) -> None:
    agent = await client.get("agent_management", "/api/v1/agents/acme/confirm")
    names = "agent_id version name description parameters system_prompt tools memory permissions client_tools"
    assert set(names.split()) <= set(agent)
    assert agent["client_tools"] == ["confirm_action"]


async def test_the_latest_version_is_the_default(client: Client) -> None:
    path = "/api/v1/agents/acme/echo"
    assert (await client.get("agent_management", path))["version"] == "1.1.0"
    assert (await client.get("agent_management", f"{path}?version=1.0.0"))["version"] == "1.0.0"
    unknown = await client.ask("GET", "agent_management", f"{path}?version=9")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "AMGT_NOTF_002")


@pytest.mark.parametrize("path", ["/api/v1/agents/globex/calculator", "/api/v1/agents/acme/echo"])
async def test_what_is_not_the_tenants_is_not_there(globex: Client, path: str) -> None:
    response = await globex.ask("GET", "agent_management", path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "AMGT_NOTF_001")


async def test_feedback_is_kept(client: Client) -> None:
    given = await client.post("agent_management", "/api/v1/agents/acme/echo/feedback", {"rating": 5})
    assert (given["rating"], given["agent_id"], given["tenant_id"]) == (5, "echo", "acme")


async def test_an_agent_sees_its_tools(client: Client) -> None:
    every = await client.get("tool_registry", "/api/v1/tools")
    assert len(every["tools"]) == 5
    some = await client.get("tool_registry", "/api/v1/tools?agent_id=echo")
    assert {tool["tool_id"] for tool in some["tools"]} == {"current_time", "word_count", "slow_report"}
    one = await client.get("tool_registry", "/api/v1/tools/calculator")
    assert one["parameters"]["required"] == ["expression"]


@pytest.mark.parametrize(
    ("tool_id", "parameters", "result"),
    [
        ("calculator", {"expression": "2 + 2 * 3"}, 8),
        ("word_count", {"text": "one two"}, {"words": 2, "characters": 7}),
        ("slow_report", {"topic": "tides", "duration_ms": 1}, {"topic": "tides"}),
        ("current_time", {}, {}),
    ],
)
async def test_a_tool_runs(client: Client, tool_id: str, parameters: dict[str, Any], result: Any) -> None:
    answer = await client.post("tool_registry", EXECUTE, {"tool_id": tool_id, "parameters": parameters})
    assert answer["status"] == "success"
    assert answer["execution_time_ms"] >= 0
    if isinstance(result, dict):
        assert result.items() <= answer["result"].items()
    else:
        assert answer["result"] == result


async def test_a_tool_that_fails_is_an_answer_too(client: Client) -> None:
    answer = await client.post("tool_registry", EXECUTE, {"tool_id": "calculator", "parameters": {"expression": "1/0"}})
    assert answer["status"] == "error"
    assert answer["error_message"] == "a division by zero has no value."


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        ({"tool_id": "hammer"}, 404, "TOOL_NOTF_001"),
        ({"tool_id": "confirm_action", "parameters": {"action": "x"}}, 422, "TOOL_EXEC_001"),
        ({"tool_id": "calculator"}, 422, "TOOL_VAL_002"),
        ({"tool_id": "calculator", "parameters": {"expression": 5}}, 422, "TOOL_VAL_002"),
        ({"tool_id": "current_time", "parameters": {"zone": "utc"}}, 422, "TOOL_VAL_002"),
        ({"tool_id": "slow_report", "parameters": {"topic": "x", "duration_ms": 60_001}}, 422, "TOOL_VAL_002"),
        ({}, 400, "TOOL_VAL_001"),
    ],
)
async def test_a_malformed_call_is_refused(client: Client, payload: dict[str, Any], status: int, code: str) -> None:
    response = await client.ask("POST", "tool_registry", EXECUTE, {"payload": payload})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_a_slow_tool_reports_to_the_orchestrator(client: Client, orchestrator: FakeOrchestrator) -> None:
    payload = {"tool_id": "slow_report", "parameters": {"topic": "tides", "duration_ms": 1}, "task_id": "t1"}
    accepted = await client.post(
        "tool_registry", "/api/v1/tools/async-execute", payload, metadata={"callback_token": "secret"}
    )
    assert accepted["status"] == "accepted"
    told = await orchestrator.wait_for("task.complete/t1")
    assert told.body["result"]["result"]["topic"] == "tides"
    assert told.headers["x-callback-token"] == "secret"
    assert told.headers["x-tenant-id"] == "acme"
    assert told.headers["x-api-key"] == "internal-key"


async def test_a_slow_tool_that_fails_reports_that(client: Client, orchestrator: FakeOrchestrator) -> None:
    payload = {"tool_id": "calculator", "parameters": {"expression": "1/0"}, "task_id": "t1"}
    await client.post("tool_registry", "/api/v1/tools/async-execute", payload)
    assert (await orchestrator.wait_for("task.fail/t1")).body["error"]["code"] == "TOOL_EXEC_002"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("2 ^ 10", 1024),
        ("(1 + 2) * -3", -9),
        ("7 // 2 + 7 % 2", 4),
        ("sqrt(16) + abs(-2)", 6),
        ("max(1, 2, min(5, 3))", 3),
        ("round(2.567, 1)", 2.6),
        ("1e3", 1000),
    ],
)
def test_arithmetic_is_worked_out(expression: str, value: float) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "__import__('os')",
        "().__class__",
        "[1]",
        "True",
        "x",
        "'a' * 3",
        "9**9**9",
        "2**99999",
        "1e308 * 10",
        "(-8) ** 0.5",
        "10.0 ** 400",
        "(" * 150 + "1" + ")" * 150,
        "1" * 201,
        "round(x=1)",
        "sqrt(-1)",
        "max()",
    ],
)
def test_what_is_no_arithmetic_is_refused(expression: str) -> None:
    with pytest.raises(ArithmeticFault):
        evaluate(expression)
