"""A stack whose seven services all speak the documents' shapes alone: chats, tools, workflows, a batch, failures."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import trio

from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role
from tests.end_to_end.stack import INTERNAL_KEY, Follower, Stack, open_stack
from tests.platform.documented_services import TOKEN, DocumentedServices, encoded, open_services, said
from tests.platform.vectors import missing, vector
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked

USER = "developer"
FREE = {"parameters", "memory", "permissions", "content", "context", "input", "input_data", "result"}
"""Objects whose fields are agents' and users' own."""


@asynccontextmanager
async def documented_stack(folder: Path) -> AsyncIterator[tuple[Stack, DocumentedServices]]:
    async with open_stack(folder) as stack, open_services() as services:
        for name, url in services.urls.items():
            stack.environ[f"ORCH_SERVICES__{name.upper()}__URL"] = url
            stack.environ[f"ORCH_SERVICES__{name.upper()}__TOKEN"] = TOKEN
        await stack.start(task_retry_delay="0.1")
        services.orchestrator = stack.node.url
        yield stack, services


def check(name: str, message: Any, *, without: frozenset[str] = frozenset()) -> None:
    """Hold a request to its documented shape; what is empty in the example, or of agents and users, may be anything."""
    example = _pruned(vector(name).example, without)
    assert missing(example, message) == [], name


def _pruned(value: Any, without: frozenset[str]) -> Any:
    if not isinstance(value, dict):
        return value
    kept = {name: inner for name, inner in value.items() if name not in without}
    return {
        name: {} if name in FREE and isinstance(inner, dict) else _pruned(inner, without)
        for name, inner in kept.items()
    }


async def test_a_whole_conversation_goes_through_documented_services(tmp_path: Path) -> None:
    async with documented_stack(tmp_path) as (stack, services):
        await _chat(stack, services)
        await _tools(stack, services)
        await _workflow(stack, services)
        await _memory(stack, services)
        await _batch(stack)
        await _failures(stack, services)
        await _internal(stack, services)


async def _say(stack: Stack, session: str, content: str, **fields: Any) -> dict[str, Any]:
    async with stack.client(stack.token(user=USER)) as client:
        body = {"session_id": session, "content": content, "mode": "wait", **fields}
        answer: dict[str, Any] = (await client.post("/api/v1/chat.message", json=body)).json()
    return answer


async def _chat(stack: Stack, services: DocumentedServices) -> None:
    token = stack.token(user=USER)
    session = await stack.session("echo", token)
    follower = Follower(session, token)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run, stack)
        await eventually("the socket is there", lambda: bool(stack.node.url))
        answer = (await _say(stack, session, "one two"))["data"]
        await follower.until("chat.completed")
        nursery.cancel_scope.cancel()
    assert answer["content"] == "one two "
    assert answer["usage"] == {"prompt_tokens": 54, "completion_tokens": 7, "total_tokens": 61}
    assert answer["sources"] == vector("svc-ae-response").example["payload"]["sources"]
    streams = [frame["data"] for frame in follower.frames if frame["type"]["action"] == "stream"]
    thought = "".join(data["chunk"] for data in streams if data["content_type"] == "thinking")
    assert thought == "There are two columns.hm, "
    assert "".join(data["chunk"] for data in streams if data["content_type"] == "response") == "one two "
    assert {data["content_type"] for data in streams} == {"thinking", "response"}
    (status,) = [frame["data"] for frame in follower.frames if frame["data"].get("progress") == 0.25]
    assert status["message"] == "reading the table"
    assert status["estimated_completion_time"]
    [asked] = services.requests("agent_execution", "/execute")
    check("svc-ae-execute-req", asked.body)
    assert {item["type"] for item in asked.body["payload"]["context"]} >= {"conversation_history"}
    config = vector("svc-am-config-res").example["payload"]
    sent = asked.body["payload"]["agent_config"]
    assert {name: sent[name] for name in ("parameters", "system_prompt", "tools", "memory", "permissions")} == {
        name: config[name] for name in ("parameters", "system_prompt", "tools", "memory", "permissions")
    }
    assert [tool["name"] for tool in asked.body["payload"]["tools"]] == ["Calculator", "Slow report"]
    assert asked.body["payload"]["tools"][0]["parameters"]["type"] == "object"
    _headers(asked, session)
    check("svc-cs-create-req", services.requests("conversation", "/conversations")[0].body, without=frozenset({"page"}))
    stored = services.requests("conversation", "/messages")[0].body
    check("svc-cs-store-req", stored)
    assert (stored["payload"]["role"], stored["payload"]["content"]) == ("user", "one two")
    query = parse_qs(services.requests("agent_management")[0].target.partition("?")[2])
    wanted = vector("svc-am-config-req").example["query"]
    assert {name: query[name] for name in wanted} == {name: [value] for name, value in wanted.items()}
    # The second turn recalls the first one; the history shows both.
    await _say(stack, session, "three")
    history = services.requests("agent_execution", "/execute")[1].body["payload"]["context"][0]["content"]
    assert [one["content"] for one in history] == ["one two", "one two "]
    async with stack.client(token) as client:
        items = (await client.get(f"/api/v1/chat.history/{session}")).json()["data"]["items"]
    assert [item["content"] for item in items] == ["one two", "one two ", "three", "three "]
    assert all(item["message_id"] and item["created_at"] for item in items)


def _headers(asked: Asked, session: str) -> None:
    names = {name.lower() for name in vector("hdr-service-call").example}
    assert names - asked.headers.keys() == set()
    assert asked.headers["x-trace-id"] == asked.headers["traceparent"].split("-")[1]
    assert asked.headers["x-source-service"] == "agent_orchestrator"
    assert (asked.headers["x-domain-action"], asked.headers["x-user-id"]) == ("agent.execute", USER)
    assert asked.headers["x-session-id"] == session


async def _tools(stack: Stack, services: DocumentedServices) -> None:
    session = await stack.session("calculator", stack.token(user=USER))
    answer = (await _say(stack, session, "What is 6*7?"))["data"]
    assert answer["content"] == "42"
    check("svc-tr-execute-req", services.requests("tool_registry", "/execute")[-1].body)
    result = services.requests("agent_execution", "/tool_result")[-1].body
    check("svc-ae-tool-result-req", result, without=frozenset({"value"}))
    assert result["payload"]["call_id"] == "call-1"
    async with stack.client(stack.token(user=USER)) as client:
        body = {"session_id": await stack.session("echo", stack.token(user=USER)), "content": "wait"}
        sent = (await client.post("/api/v1/chat.message", json=body)).json()

        def queries() -> list[str]:
            return [one.body["payload"]["query"] for one in services.requests("agent_execution", "/execute")]

        await eventually("the agent works", queries, lambda found: "wait" in found)
        await client.post(f"/api/v1/chat.cancel/{sent['data']['message_id']}")
        await eventually("the agent is told", lambda: services.requests("agent_execution", "/cancel"))
    cancel = services.requests("agent_execution", "/cancel")[-1].body
    check("svc-ae-cancel-req", cancel)
    assert (cancel["status"], cancel["metadata"]["reason_code"]) == ("cancelled", "user_requested")


async def _ended(client: Any, task_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        return dict((await client.get(f"/api/v1/workflow.results/{task_id}")).json()["data"])

    return await eventually("the workflow has ended", look, lambda found: found["status"] in {"completed", "failed"})


async def _workflow(stack: Stack, services: DocumentedServices) -> None:
    token = stack.token(user=USER)
    session = await stack.session("echo", token)
    async with stack.client(token) as client:
        body = {"workflow_id": "arithmetic", "input": {"expression": "6*7"}, "session_id": session}
        task_id = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]
        assert (await _ended(client, task_id))["result"] == {"value": 42}
        asked = services.requests("workflow_engine", "/workflow/execute")[-1]
        check("svc-we-execute-req", asked.body, without=frozenset({"context", "callback_url"}))
        body = {"workflow_id": "approval", "session_id": session}
        task_id = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]

        async def look() -> Any:
            return (await client.get(f"/api/v1/workflow.status/{task_id}")).json()["data"]["input_request"]

        question = await eventually("it asks", look)
        assert (question["prompt"], question["schema"]["x-request-id"], question["schema"]["type"]) == (
            "Send it now?",
            "ask-1",
            "boolean",
        )
        given = {"node_id": question["node_id"], "input": {"approved": True}}
        assert (await client.post(f"/api/v1/workflow.input/{task_id}", json=given)).status_code < 300
        assert (await _ended(client, task_id))["status"] == "completed"
        await _reports(client, services)
    asked = services.requests("workflow_engine", "/input")[-1]
    check("svc-we-input-req", asked.body)
    assert asked.body["payload"]["input_data"] == {"approved": True}


async def _reports(client: httpx.AsyncClient, services: DocumentedServices) -> None:
    """The engine tells of a run in either form, and has a tool run as a step of it."""
    task_id = (await client.post("/api/v1/workflow.execute", json={"workflow_id": "approval"})).json()["data"][
        "task_id"
    ]
    execution_id = await services.execution_of(task_id)

    async def asks() -> Any:
        return (await client.get(f"/api/v1/workflow.status/{task_id}")).json()["data"]["input_request"]

    await eventually("it asks", asks)
    event, status = vector("svc-we-event").filled({}), {**vector("svc-we-status").filled({}), "task_id": task_id}
    event["metadata"]["execution_id"] = execution_id
    for message, progress, step in ((status, 0.2, "multiply"), (event, 0.6, "end")):
        told = await services.report("/api/v1/orchestrator/workflows/callback", message)
        assert told.status_code == 200, told.text
        now = (await client.get(f"/api/v1/workflow.status/{task_id}")).json()["data"]
        assert (now["status"], now["progress"], now["current_step"]) == ("processing", progress, step)
        if message is status:
            assert (now["steps_completed"], now["steps_total"]) == (1, 5)
    call = vector("rest-engine-tool-req").filled({})
    call["metadata"]["execution_id"] = execution_id
    answer = await services.report("/api/v1/orchestrator/tools/execute", call)
    assert answer.status_code == 200, answer.text
    assert services.requests("tool_registry", "/execute")[-1].body["payload"]["parameters"] == {"expression": "6*7"}
    nowhere = await services.report("/api/v1/orchestrator/integrations/mail/invoke", call)
    assert (nowhere.status_code, nowhere.json()["error"]["type"]) == (501, "not_implemented")
    assert (await client.delete(f"/api/v1/workflow.cancel/{task_id}")).status_code == 200


async def _memory(stack: Stack, services: DocumentedServices) -> None:
    token = stack.token(user=USER)
    session = await stack.session("echo", token)
    services.answers["/memory"] = lambda _: (200, said("svc-cs-create-res", memory_key="seat", memory_value="12A"))
    kept = vector("svc-cs-memory-req").example["payload"]
    named = {"service": "conversation", "parameters": {"conversation_id": session}}
    keep = {**named, "operation": "remember", "parameters": {"conversation_id": session, **kept}}
    read = {**named, "operation": "memory", "parameters": {"conversation_id": session, "memory_key": "seat"}}
    plan = {"calls": {"keep": keep, "read": {**read, "depends_on": ["keep"]}}}
    async with stack.client(token) as client:
        body = {"plan": plan, "session_id": session, "mode": "wait"}
        answer = (await client.post("/api/v1/workflow.execute", json=body)).json()
    services.answers.clear()
    assert answer["data"]["result"]["results"]["read"]["memory_value"] == "12A"
    put, get = services.requests("conversation", f"/conversations/{session}/memory")
    check("svc-cs-memory-req", put.body)
    assert (put.method, {name: put.body["payload"][name] for name in kept}) == ("PUT", kept)
    assert (get.method, parse_qs(get.target.partition("?")[2])["memory_key"]) == ("GET", ["seat"])


async def _batch(stack: Stack) -> None:
    async with stack.client(stack.token(user=USER)) as client:
        body = {"agent_id": "echo", "items": [{"content": "a"}, {"content": "b"}]}
        created = await client.post("/api/v1/batch.create", json=body)
        batch_id = created.json()["data"]["batch_id"]

        async def look() -> Any:
            return (await client.get(f"/api/v1/batch.get/{batch_id}")).json()["data"]["status"]

        assert (
            await eventually("the batch has ended", look, lambda status: status in {"completed", "failed", "partial"})
            == "completed"
        )


async def _failures(stack: Stack, services: DocumentedServices) -> None:
    async with stack.client(stack.token(user=USER)) as client:
        refused = await client.post("/api/v1/session.create", json={"agent_id": "no-such-agent"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "ORCH_NOTF_001")
        assert "agent.configuration.not_found: no such agent" in str(refused.json()["error"]["details"])
        session = await stack.session("echo", stack.token(user=USER))
        failed = await _say(stack, session, "fail", timeout_ms=20_000)
        assert failed["error"]["code"] == "ORCH_CONN_002"
        assert failed["error"]["retryable"]
        assert failed["error"]["details"][0]["message"] == "LLM_PROVIDER_ERROR: no model answered"
        wrong = {"tool_id": "calculator", "parameters": {"expression": "6*"}}
        services.answers["tools/calculator"] = lambda _: (200, {"payload": {"tool_id": "calculator", "tool_name": "C"}})
        refused = await client.post("/api/v1/tool.execute", json=wrong)
        assert (refused.status_code, refused.json()["error"]["type"]) == (422, "unprocessable_content")
        assert refused.json()["error"]["details"][0]["message"] == "tool.execute.invalid_parameters: not a term"
        # Indented JSON is JSON, and a plain answer is as good as a stream.
        whole = {**vector("svc-ae-response").filled({})}
        services.answers["agent_execution /api/v1/agents/echo/execute"] = lambda _: (200, encoded(whole))
        session = await stack.session("echo", stack.token(user=USER))
        assert (await _say(stack, session, "x"))["data"]["content"] == "Forty-two."
        embedded = vector("err-embedded").filled({})
        services.answers["agent_execution /api/v1/agents/echo/execute"] = lambda _: (200, embedded)
        failed = await _say(stack, session, "x")
        assert failed["error"]["details"][0]["message"] == "AGEX_CONN_001: no model answered"
        services.answers.clear()
        tries: list[Asked] = []

        def once(asked: Asked) -> tuple[int, Any]:
            tries.append(asked)
            if len(tries) > 1:
                services.answers.clear()
            return 400, vector("svc-we-error").filled({})

        services.answers["workflow/execute"] = once
        body = {"workflow_id": "arithmetic", "input": {"expression": "6*7"}}
        task_id = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]
        results = await _ended(client, task_id)
        services.answers.clear()
        assert results["status"] in {"completed", "failed"}
        if results["error"]:
            assert "workflow.execute.step_failed: a step failed" in str(results["error"]["details"])


async def _internal(stack: Stack, services: DocumentedServices) -> None:
    headers = {"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": "acme"}
    async with stack.client() as client, stack.client(stack.token(user=USER)) as user:
        execution = new_id()
        message = vector("rest-int-workflow-register-req").filled({"e8ec0000-0000-4000-8000-000000000001": execution})
        message["data"]["user_id"] = USER
        made = await client.post("/internal/v1/workflow.register", json=message, headers=headers)
        assert made.status_code == 201
        task_id = made.json()["data"]["task_id"]
        news = vector("rest-int-workflow-news-req").filled({})
        told = await client.put(f"/internal/v1/workflow.update/{execution}", json=news, headers=headers)
        assert (told.status_code, told.json()["data"]["task_id"]) == (200, task_id)
        status = (await user.get(f"/api/v1/workflow.status/{task_id}")).json()["data"]
        assert (status["progress"], status["steps_completed"]) == (0.2, 1)
        seen = await client.get(f"/internal/v1/workflow.status/{execution}", headers=headers)
        assert (seen.status_code, seen.json()["data"]) == (200, status)
        elsewhere = {**headers, "X-Tenant-ID": "globex"}
        assert (await client.get(f"/internal/v1/workflow.status/{task_id}", headers=elsewhere)).status_code == 404
        done = {**news, "type": {"domain": "workflow", "action": "complete"}, "data": {"result": {"value": 42}}}
        assert (
            await client.post(f"/internal/v1/workflow.complete/{task_id}", json=done, headers=headers)
        ).status_code == 200
        assert (await _ended(user, task_id))["result"] == {"value": 42}
        stranger = vector("rest-engine-callback-req").filled({})
        assert (await services.report("/api/v1/orchestrator/workflows/callback", stranger)).status_code == 404
        refused = await user.post("/api/v1/orchestrator/workflows/callback", json=stranger)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ORCH_AUTH_003")
        async with stack.client(stack.token(user="engine", role=Role.SERVICE)) as engine:
            answered = await engine.post("/api/v1/orchestrator/workflows/callback", json=stranger)
            assert answered.status_code == 404
            offered = await engine.post("/api/v1/orchestrator/integrations/mail/invoke", json={"payload": {}})
            assert (offered.status_code, offered.json()["error"]["type"]) == (501, "not_implemented")
        sent = await client.post(
            "/internal/v1/notification.send",
            json={"title": "t", "message": "m", "user_ids": [USER]},
            headers=headers,
        )
        notification = sent.json()["data"]["notification_id"]
        said = vector("rest-int-notification-req").filled({})
        read = await client.put(f"/internal/v1/notification.acknowledge/{notification}", json=said, headers=headers)
        assert (read.status_code, read.json()["data"]["notification_id"]) == (200, notification)
        for name in ("orchestrator.register_session", "orchestrator.heartbeat", "telemetry.log", "telemetry.trace"):
            assert (await client.post(f"/internal/v1/{name}", json=said, headers=headers)).status_code == 202
        assert (await client.get("/internal/v1/telemetry.health", headers=headers)).status_code == 202
