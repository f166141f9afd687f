"""What documented services report and answer beside the flow of a conversation, and what each of it leads to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

import httpx
import pytest
import trio

from orchestrator.dialects.engine_runs import run_of_engine
from orchestrator.services.workflows.workflow_engine import progress_of_run
from tests.end_to_end.stack import INTERNAL_KEY, Follower, Stack
from tests.platform.documented_services import DocumentedServices, said
from tests.platform.entries import open_writer
from tests.platform.test_services import USER, documented_stack
from tests.platform.vectors import vector
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked

ENGINE: Final = "/api/v1/orchestrator/workflows/callback"
TOOLS: Final = "/api/v1/orchestrator/tool-callbacks"
ENDED: Final = frozenset({"completed", "failed", "cancelled", "partial"})


async def test_documented_services_report_and_answer(tmp_path: Path) -> None:
    async with documented_stack(tmp_path) as (stack, services), stack.client(stack.token(user=USER)) as client:
        await _engine_events(stack, services, client)
        await _engine_results(services, client)
        await _engine_state(services, client)
        await _engine_failure(services, client)
        await _engine_entry(stack, services)
        await _later_tools(services, client)
        await _answers(stack, services, client)
        await _degraded(stack, services, client)
        await _registered(client)


@pytest.mark.parametrize("steps", [True, False])
def test_the_state_of_a_run_is_read_by_its_steps_or_by_its_percentage(steps: bool) -> None:
    run = vector("svc-we-execution-res").data
    if not steps:
        run = {**run, "progress": {"percentage": 40}}
    standing = progress_of_run(run_of_engine(run))
    assert (standing.status, standing.progress, standing.current_step) == ("processing", 0.4, "multiply")
    assert (standing.steps_completed, standing.steps_total) == ((2, 5) if steps else (None, None))


async def _start(services: DocumentedServices, client: httpx.AsyncClient, session_id: str | None = None) -> str:
    """Start a run of which nothing is reported by itself; returns its task, which is its execution, too."""
    services.answers["workflow/execute"] = lambda asked: (202, _taken(asked.body["task_id"]))
    body = {"workflow_id": "approval", "session_id": session_id}
    task_id = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]

    def asked() -> list[str]:
        return [one.body["task_id"] for one in services.requests("workflow_engine", "/workflow/execute")]

    await eventually("the engine has it", asked, lambda ids: task_id in ids)
    await eventually("it is under way", lambda: _status(client, task_id), lambda now: now["status"] == "processing")
    services.answers.clear()
    return str(task_id)


def _taken(execution_id: str) -> dict[str, Any]:
    answer = vector("svc-we-execution-res").filled({})
    return {**answer, "data": {"execution_id": execution_id, "status": "in_progress"}}


async def _status(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    return dict((await client.get(f"/api/v1/workflow.status/{task_id}")).json()["data"])


async def _ended(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        return dict((await client.get(f"/api/v1/workflow.results/{task_id}")).json()["data"])

    return await eventually("it has ended", look, lambda found: found["status"] in ENDED)


async def _report(services: DocumentedServices, path: str, message: Any) -> None:
    told = await services.report(path, message)
    assert told.status_code == 200, told.text


async def _engine_events(stack: Stack, services: DocumentedServices, client: httpx.AsyncClient) -> None:
    """The events of a run come to its session's socket: started, a step, a question with its options, the end."""
    session = await stack.session("echo", stack.token(user=USER))
    task_id = await _start(services, client, session)
    follower = Follower(session, stack.token(user=USER))
    started, step, completed = vector("ws-we-progress").filled({})
    question = vector("ws-we-input-request").filled({})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run, stack)
        wordy = vector("svc-we-event").filled({})
        del wordy["task_id"]
        for event in (started, step, wordy, question):
            event["metadata"]["execution_id"] = task_id
            await _report(services, ENGINE, event)
        await follower.until("workflow.input_request")
        now = await _status(client, task_id)
        await _answered(services, client, task_id, question["payload"])
        completed["metadata"]["execution_id"] = task_id
        await _report(services, ENGINE, completed)
        ended = await _ended(client, task_id)
        nursery.cancel_scope.cancel()
    assert (now["status"], now["state"], now["current_step"]) == ("waiting", "waiting", "choose")
    told = [frame["data"] for frame in follower.frames if frame["type"]["action"] == "status_update"]
    progress = [(data["status"], data.get("progress")) for data in told if data.get("task_id") == task_id]
    assert ("processing", 0.0) in progress
    assert ("processing", 0.4) in progress
    steps = [(data["progress"], data["steps_completed"], data["steps_total"]) for data in told]
    assert (0.6, 2, 5) in steps, "news of a percentage keep the steps"
    [asked] = [frame["data"] for frame in follower.frames if frame["type"]["action"] == "input_request"]
    payload = question["payload"]
    for name in ("request_id", "prompt", "input_type", "timeout_ms", "required"):
        assert asked[name] == payload[name], name
    assert (asked["node_id"], asked["options"]) == (payload["step_id"], payload["options"])
    assert ended["status"] == "completed"


async def _answered(
    services: DocumentedServices, client: httpx.AsyncClient, task_id: str, question: dict[str, Any]
) -> None:
    """A question is answered by the engine's name of it, at the execution; the engine gets both of its names."""
    services.answers["/input"] = lambda _: (200, {"data": {"accepted": True}})
    path = f"/api/v1/workflow.input/{task_id}"
    twice = await client.post(path, json={"request_id": "ask-1", "step_id": "choose", "input_data": "csv"})
    assert twice.status_code == 400
    other = await client.post(path, json={"request_id": "ask-2", "input_data": "csv"})
    assert other.status_code == 409
    taken = await client.post(path, json={"request_id": question["request_id"], "input_data": "csv"})
    assert taken.json()["data"]["node_id"] == question["step_id"]
    [asked] = services.requests("workflow_engine", "/input")
    assert asked.body["metadata"]["input_request_id"] == question["request_id"]
    assert (asked.body["payload"]["node_id"], asked.body["payload"]["input_data"]) == (question["step_id"], "csv")
    services.answers.clear()


async def _engine_results(services: DocumentedServices, client: httpx.AsyncClient) -> None:
    """A result may say that a run is paused, or that it has failed."""
    for named in ("task", "execution"):
        task_id = await _start(services, client)
        message = {**vector("svc-we-result").filled({}), "original_task_id": task_id if named == "task" else None}
        message["metadata"]["execution_id"] = task_id if named == "execution" else "not-known"
        await _report(services, ENGINE, {**message, "status": "paused", "payload": {}})
        assert (await _status(client, task_id))["status"] == "waiting"
        failure = {"execution_details": {"steps_completed": 2, "steps_total": 5, "error": "no number"}}
        await _report(services, ENGINE, {**message, "status": "failed", "payload": failure})
        ended = await _ended(client, task_id)
        assert (ended["status"], ended["error"]["code"]) == ("failed", "ORCH_CONN_002")
        assert "no number" in ended["error"]["details"][0]["message"]


async def _engine_state(services: DocumentedServices, client: httpx.AsyncClient) -> None:
    """The engine is asked how a run stands; a cancel says who wanted it."""
    task_id = await _start(services, client)
    named = {"service": "workflow_engine", "operation": "get", "parameters": {"execution_id": task_id}}
    body = {"plan": {"calls": {"look": named}}, "mode": "wait"}
    answer = (await client.post("/api/v1/workflow.execute", json=body)).json()
    # A plan gets what the engine says, whether it stands in `data` or in `payload`.
    assert answer["data"]["result"]["results"]["look"] == vector("svc-we-execution-res").filled({})["data"] | {
        name: answer["data"]["result"]["results"]["look"][name]
        for name in ("started_at", "estimated_completion", "logs", "current_step")
    }
    stopped = await client.delete(f"/api/v1/workflow.cancel/{task_id}")
    assert stopped.json()["data"]["cancelled"] is True
    told = await eventually("the engine is told", lambda: services.requests("workflow_engine", "/cancel"))
    assert told[-1].body["metadata"]["reason_code"] == "user_requested"


async def _engine_failure(services: DocumentedServices, client: httpx.AsyncClient) -> None:
    """A failure that says when to come back is repeated then, and not before."""
    moments: list[float] = []

    def once(asked: Asked) -> tuple[int, Any]:
        moments.append(trio.current_time())
        return (400, vector("svc-we-error").filled({})) if len(moments) == 1 else (202, _taken(asked.body["task_id"]))

    services.answers["workflow/execute"] = once
    body = {"workflow_id": "approval", "input": {}}
    task_id = (await client.post("/api/v1/workflow.execute", json=body)).json()["data"]["task_id"]
    await eventually("it is tried again", lambda: moments, lambda tries: len(tries) == 2)
    services.answers.clear()
    wait_ms = vector("svc-we-error").example["error"]["retry_after_ms"]
    assert moments[1] - moments[0] >= wait_ms / 1000 - 0.05
    assert (await client.delete(f"/api/v1/workflow.cancel/{task_id}")).status_code == 200


async def _engine_entry(stack: Stack, services: DocumentedServices) -> None:
    """What a documented entry says beside the input is handed on to the engine."""
    known = len(services.requests("workflow_engine", "/workflow/execute"))
    async with open_writer(stack) as writer:
        await writer.run("svc-we-start-req")
    asked = services.requests("workflow_engine", "/workflow/execute")[known].body["payload"]
    entry = vector("svc-we-start-req").example["payload"]
    assert (asked["workflow_id"], asked["input"]) == (entry["workflow_template_id"], entry["input_parameters"])
    assert {name: asked[name] for name in ("workflow_version", "timeout_seconds")} == {
        name: entry[name] for name in ("workflow_version", "timeout_seconds")
    }
    assert asked["context"]["triggered_by"] == entry["context"]["triggered_by"]


async def _later_tools(services: DocumentedServices, client: httpx.AsyncClient) -> None:
    """A tool that answers later is told of by the callback: how far it is, its result, its failure."""
    begun: list[str] = []

    def begin(asked: Asked) -> tuple[int, Any]:
        begun.append(asked.body["task_id"])
        return 202, said("svc-tr-execute-res", task_id=asked.body["task_id"], status="pending")

    services.answers["tools/async-execute"] = begin
    services.answers["tools/slow_report"] = lambda _: (200, {"payload": {"tool_id": "slow_report", "kind": "async"}})
    for fails in (False, True):
        ran = await client.post("/api/v1/tool.execute", json={"tool_id": "slow_report", "parameters": {}})
        assert ran.status_code == 202, ran.text
        task_id = ran.json()["data"]["task_id"]
        await eventually("it is begun", lambda: begun.count(task_id))  # noqa: B023 # called before the next round
        message = vector("rest-registry-callback-req").filled({})
        message["metadata"]["source_task_id"] = task_id
        status = {**message, "type": {"domain": "tool", "action": "status"}, "payload": {"progress": 40}}
        await _report(services, TOOLS, status)
        if fails:
            failed = vector("svc-tr-error").filled({})
            await _report(services, TOOLS, {**failed, "metadata": {"source_task_id": task_id}})
        else:
            await _report(services, TOOLS, message)
        ended = await _ended(client, task_id)
        if fails:
            assert ended["status"] == "failed"
            assert "tool.execute.invalid_parameters: not a term" in str(ended["error"])
        else:
            assert (ended["status"], ended["result"]["result"]) == ("completed", {"pages": 3})
    services.answers.clear()


async def _answers(stack: Stack, services: DocumentedServices, client: httpx.AsyncClient) -> None:
    """What an answer has beside its words, and what requests have beside their fields."""
    token = stack.token(user=USER)
    session = await stack.session("echo", token)
    follower = Follower(session, token)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run, stack)
        body = {"session_id": session, "content": "one", "mode": "wait"}
        answer = (await client.post("/api/v1/chat.message", json=body)).json()["data"]
        await follower.until("chat.completed")
        nursery.cancel_scope.cancel()
    example = vector("svc-ae-response").example["payload"]
    assert answer["tool_calls"] == example["tool_calls"]
    assert answer.get("thinking") in {None, ""}
    assert example["thinking_process"] not in str(follower.frames)
    task_id = answer["task_id"] if "task_id" in answer else follower.frames[0]["data"]["task_id"]
    kept = (await client.get(f"/api/v1/task.get/{task_id}")).json()["data"]["result"]
    assert kept["thinking"] == example["thinking_process"]
    await client.post("/api/v1/chat.message", json={**body, "content": "two"})
    items = {item["type"]: item["content"] for item in _executions(services)[-1]["context"]}
    assert items["conversation_summary"] == vector("svc-cs-context-res").example["payload"]["context_summary"]
    listed = parse_qs(services.requests("tool_registry", "/tools")[0].target.partition("?")[2])
    assert listed["agent_id"] == ["echo"]
    assert {"rag", "external_api"} <= {*listed["types"][0].split(",")}
    await client.get(f"/api/v1/chat.history/{session}?limit=7")
    asked = parse_qs(services.requests("conversation", "/messages")[-1].target.partition("?")[2])
    assert (asked["limit"], asked["offset"]) == (["7"], ["0"])
    names = {name.lower() for name in vector("hdr-service-call").example} - {"x-user-id", "x-session-id"}
    for service, one in services.asked:
        if one.path != "/health" and service not in {"query", "embedding"}:
            assert names - one.headers.keys() == set(), (service, one.path)


def _executions(services: DocumentedServices) -> list[dict[str, Any]]:
    return [one.body["payload"] for one in services.requests("agent_execution", "/execute")]


async def _degraded(stack: Stack, services: DocumentedServices, client: httpx.AsyncClient) -> None:
    """A context that fails leaves the turn going; a tool that fails with 200 has failed."""
    session = await stack.session("echo", stack.token(user=USER))
    await client.post("/api/v1/chat.message", json={"session_id": session, "content": "one", "mode": "wait"})
    services.answers[f"context/{session}"] = lambda _: (500, vector("svc-cs-error").filled({}))
    body = {"session_id": session, "content": "two", "mode": "wait"}
    answer = (await client.post("/api/v1/chat.message", json=body)).json()["data"]
    assert (answer["content"], answer["degraded"]) == ("two ", ["conversation"])
    services.answers.clear()
    services.answers["tools/calculator"] = lambda _: (200, {"payload": {"tool_id": "calculator", "tool_name": "C"}})
    failed = vector("svc-tr-error").filled({})
    within = said("svc-tr-execute-res", status="error", error=failed["error"])
    for told in (failed, within):
        services.answers["tools/execute"] = partial(_told, told)
        wrong = {"tool_id": "calculator", "parameters": {"expression": "6*"}}
        refused = await client.post("/api/v1/tool.execute", json=wrong)
        assert "tool.execute.invalid_parameters: not a term" in refused.text
    services.answers.clear()


def _told(body: Any, _: Asked) -> tuple[int, Any]:
    return 200, body


async def _registered(client: httpx.AsyncClient) -> None:
    """A run that a service has begun by itself ends with the results that it posts; notifications wait for users."""
    headers = {"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": "acme"}
    async with _keyed(str(client.base_url), headers) as service:
        message = vector("rest-int-workflow-register-req").filled({"e8ec0000-0000-4000-8000-000000000001": "own-run-1"})
        message["data"]["user_id"] = USER
        message["data"]["workflow_template_id"] = message["data"].pop("workflow_id")
        made = await service.post("/internal/v1/workflow.register", json=message)
        assert made.status_code == 201
        news = vector("rest-int-workflow-news-req").filled({})
        news |= {"type": {"domain": "workflow", "action": "results"}, "data": {"results": {"value": 42}}}
        told = await service.post("/internal/v1/workflow.results/own-run-1", json=news)
        assert told.status_code == 200, told.text
        assert (await _ended(client, made.json()["data"]["task_id"]))["result"] == {"value": 42}
        assert (await client.get("/api/v1/workflow.status/own-run-1")).json()["data"]["status"] == "completed"
        body = {"title": "t", "message": "m", "user_ids": [USER]}
        sent = (await service.post("/internal/v1/notification.send", json=body)).json()["data"]
        waiting = (await service.get(f"/internal/v1/notification.pending/{USER}")).json()["data"]["items"]
        assert sent["notification_id"] in [one["notification_id"] for one in waiting]


@asynccontextmanager
async def _keyed(url: str, headers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False) as service:
        yield service
