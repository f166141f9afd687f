"""What all services have in common: tenants, bodies, connections, and faults on request."""

from typing import Any

import httpx
import pytest
import trio

from orchestrator.clients.registry import OPERATIONS, SERVICES
from orchestrator.models.downstream.operation import Operation
from orchestrator.sandbox.platform import Sandbox
from tests.sandbox.conftest import Client
from tests.support.eventually import PATIENCE

AGENT = "/api/v1/agents/acme/echo"


async def fault(sandbox: Sandbox, client: Client, **fields: Any) -> None:
    answer = await client.http.post(f"{sandbox.url}/control/faults", json=fields)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("service", "method", "path"),
    [
        ("conversation", "POST", "/api/v1/conversations"),
        ("agent_management", "GET", AGENT),
        ("agent_execution", "GET", "/api/v1/tasks/t1"),
        ("workflow_engine", "GET", "/api/v1/workflow/definitions"),
        ("tool_registry", "GET", "/api/v1/tools"),
        ("query", "POST", "/api/v1/internal/search"),
        ("embedding", "POST", "/api/v1/internal/enhanced_embed"),
    ],
)
async def test_a_request_without_a_tenant_is_refused(client: Client, service: str, method: str, path: str) -> None:
    answer = await client.http.request(method, client.urls[service] + path)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "The header X-Tenant-ID is missing."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "The body is no JSON object."),
        (b"[]", "The body is no JSON object."),
        (b'{"query": "x"}', "The message has no payload."),
        (b'{"payload": {}, "tenant_id": "globex"}', "The body and X-Tenant-ID name different tenants."),
    ],
)
async def test_a_body_that_is_no_message_is_refused(client: Client, content: bytes, message: str) -> None:
    answer = await client.http.post(
        f"{client.urls['conversation']}/api/v1/conversations", content=content, headers={"X-Tenant-ID": "acme"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "CONV_VAL_001")
    assert answer.json()["error"]["message"] == message


async def test_unknown_paths_methods_and_services_are_told(sandbox: Sandbox, client: Client) -> None:
    assert (await client.ask("GET", "conversation", "/nowhere")).status_code == 404
    assert (await client.ask("PUT", "conversation", "/api/v1/conversations")).status_code == 405
    answer = await client.http.get(f"{sandbox.url}/nowhere/health")
    assert "agent_execution" in answer.json()["error"]["message"]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=map(".".join, OPERATIONS))
async def test_every_operation_of_every_service_has_a_stand_in(client: Client, operation: Operation) -> None:
    path = operation.path.format_map(dict.fromkeys(["tenant_id", *operation.path_parameters], "x"))
    answer = await client.ask(operation.method, operation.service, path, headers={"X-Sandbox-Fault": "error:418"})
    assert answer.status_code == 418


async def test_a_connection_is_used_again(sandbox: Sandbox) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", sandbox.port)
    request = b"GET /conversation/health HTTP/1.1\r\nHost: x\r\n\r\n"
    with trio.fail_after(PATIENCE):
        async with stream:
            for _ in range(3):
                await stream.send_all(request)
                assert b'"healthy"' in await stream.receive_some()
            # Two at once are answered one after the other.
            await stream.send_all(request * 2)
            received = b""
            while received.count(b'"healthy"') < 2:
                received += await stream.receive_some()


async def test_what_is_no_http_is_answered_with_400(sandbox: Sandbox) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", sandbox.port) as stream:
        await stream.send_all(b"this is no HTTP\r\n\r\n")
        with trio.fail_after(PATIENCE):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 400")


async def test_a_fault_strikes_its_service_and_operation_alone(sandbox: Sandbox, client: Client) -> None:
    await fault(sandbox, client, kind="error", service="agent_management", operation="get", status=503, retry_after=2)
    struck = await client.ask("GET", "agent_management", AGENT)
    assert (struck.status_code, struck.headers["retry-after"]) == (503, "2")
    assert (await client.ask("GET", "agent_management", "/api/v1/agents/acme")).status_code == 200
    assert (await client.ask("GET", "tool_registry", "/api/v1/tools")).status_code == 200


async def test_a_fault_without_a_service_strikes_all_and_goes_when_told(sandbox: Sandbox, client: Client) -> None:
    await fault(sandbox, client, kind="error")
    assert (await client.ask("GET", "agent_management", AGENT)).status_code == 500
    assert (await client.ask("GET", "conversation", "/health")).status_code == 500
    await client.http.delete(f"{sandbox.url}/control/faults")
    assert (await client.ask("GET", "agent_management", AGENT)).status_code == 200


async def test_a_counted_fault_strikes_so_often(sandbox: Sandbox, client: Client) -> None:
    await fault(sandbox, client, kind="error", count=2)
    statuses = [(await client.ask("GET", "agent_management", AGENT)).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]


async def test_latency_delays_the_answer(sandbox: Sandbox, client: Client) -> None:
    await fault(sandbox, client, kind="latency", latency_ms=60)
    started = trio.current_time()
    assert (await client.ask("GET", "agent_management", AGENT)).status_code == 200
    assert trio.current_time() - started >= 0.06


async def test_a_header_asks_for_a_fault_of_one_request(client: Client) -> None:
    for asked, status in [("error:502", 502), ("error", 500), ("latency:1", 200), ("nonsense", 400), ("latency", 400)]:
        answer = await client.ask("GET", "agent_management", AGENT, headers={"X-Sandbox-Fault": asked})
        assert answer.status_code == status
    assert (await client.ask("GET", "agent_management", AGENT)).status_code == 200


async def test_garbage_is_no_json(client: Client) -> None:
    answer = await client.ask("GET", "agent_management", AGENT, headers={"X-Sandbox-Fault": "garbage"})
    assert (answer.status_code, answer.text) == (200, "<html>This is no JSON</html>\n")


async def test_a_hanging_service_never_answers(client: Client) -> None:
    with trio.move_on_after(0.1) as scope:
        await client.ask("GET", "agent_management", AGENT, headers={"X-Sandbox-Fault": "hang"})
    assert scope.cancelled_caught


async def test_a_cut_answer_ends_in_the_middle(client: Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.ask("GET", "agent_management", AGENT, headers={"X-Sandbox-Fault": "cut"})


@pytest.mark.parametrize("query", ["echo 500 words", "echo 5 words every 1 ms"])
async def test_a_cut_stream_ends_in_the_middle_of_a_line(client: Client, query: str) -> None:
    body = {"task_id": "t1", "payload": {"query": query, "stream": True}}
    received, broken = b"", False
    request = client.http.build_request(
        "POST",
        f"{client.urls['agent_execution']}/api/v1/agents/echo/execute",
        json=body,
        headers={"X-Tenant-ID": "acme", "X-Sandbox-Fault": "cut"},
    )
    answer = await client.http.send(request, stream=True)
    try:
        async for piece in answer.aiter_bytes():
            received += piece
    except httpx.RemoteProtocolError:
        broken = True
    assert broken
    assert received.count(b"\n") == 2
    assert not received.endswith(b"\n")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "flood"},
        {"kind": "cut", "service": "nowhere"},
        {"kind": "cut", "count": "2"},
        {"kind": "cut", "x": 1},
    ],
)
async def test_a_malformed_fault_is_refused(sandbox: Sandbox, client: Client, fields: dict[str, Any]) -> None:
    answer = await client.http.post(f"{sandbox.url}/control/faults", json=fields)
    assert answer.status_code == 400


async def test_calls_are_shown_and_forgotten(sandbox: Sandbox, client: Client) -> None:
    await client.ask("GET", "agent_management", AGENT)
    await client.ask("GET", "agent_management", AGENT, headers={"X-Sandbox-Fault": "error"})
    shown = (await client.http.get(f"{sandbox.url}/control/calls")).json()
    assert shown["agent_management"] == {"get": 2}
    assert set(shown) == set(sandbox.urls)
    await client.http.delete(f"{sandbox.url}/control/calls")
    assert sandbox.calls["agent_management", "get"] == 0


async def test_control_is_healthy_and_knows_its_routes(sandbox: Sandbox, client: Client) -> None:
    health = (await client.http.get(f"{sandbox.url}/control/health")).json()
    assert (health["status"], health["services"]) == ("healthy", sorted(SERVICES))
    assert (await client.http.get(f"{sandbox.url}/control/nothing")).status_code == 404


async def test_the_orchestrator_can_be_named_later(sandbox: Sandbox, client: Client) -> None:
    url = f"{sandbox.url}/control/orchestrator"
    assert (await client.http.put(url, json={"url": "http://127.0.0.1:1", "api_key": "k"})).status_code == 200
    assert (await client.http.put(url, json={})).status_code == 400
    last = (await client.execute("docs-guide", "How do I drain a tenant?"))[-1]
    assert "did not reach the orchestrator" in last["payload"]["message"]
