"""The whole service at work: what a request starts is one trace, over the worker to the services."""

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from orchestrator.sandbox.serving.faults import InjectedFaultKind
from orchestrator.telemetry.log_context import add_context
from tests.support.credentials import bearer
from tests.support.eventually import eventually
from tests.support.sandboxed import Stack, stack
from tests.support.served import CHAT, CREATE
from tests.support.spans import Spans, failure, kept_spans, traceparent

PARENT = f"00-{'a' * 32}-{'b' * 16}"
ATTEMPT = "process tasks chat.message"
WORDS = "a word of this user alone"
EACH_SERVICE = {
    "conversation": ("conversation", "create", {"user_id": "ann", "agent_id": "echo"}),
    "management": ("agent_management", "get", {"agent_id": "echo"}),
    "execution": ("agent_execution", "execute", {"agent_id": "echo", "query": WORDS}),
    "engine": ("workflow_engine", "definitions", {}),
    "registry": ("tool_registry", "execute", {"tool_id": "calculator", "parameters": {"expression": "6 * 7"}}),
    "query": ("query", "generate", {"query": WORDS, "collection_id": "docs"}),
    "embedding": ("embedding", "create", {"texts": [WORDS]}),
}
"""A call of each service, by its name in a plan."""


async def session_of(running: Stack) -> str:
    return str((await running.client.call("POST", CREATE, {"agent_id": "echo"})).data["session_id"])


async def ask(running: Stack, session_id: str, **headers: str) -> Any:
    body = {"session_id": session_id, "content": WORDS, "mode": "wait", "timeout_ms": 10_000}
    return await running.client.call("POST", CHAT, body, {**bearer(), **headers})


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_turn_is_one_trace_from_the_request_over_the_worker_to_the_services(
    redis_url: str, tmp_path: Path
) -> None:
    async with stack(redis_url, tmp_path) as running:
        session_id = await session_of(running)
        with kept_spans() as spans:
            answer = (await ask(running, session_id)).data
    request = spans.one(f"POST {CHAT}")
    assert request.parent is None
    assert spans.tree(request) == {
        "send tasks": {
            ATTEMPT: {
                "GET /api/v1/tools": {},
                "POST /api/v1/conversations": {},
                "POST /api/v1/conversations/{conversation_id}/messages": {},
                "POST /api/v1/agents/{agent_id}/execute": {},
            }
        }
    }
    kinds = {span.kind for span in spans.all()}
    assert kinds == {SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT}
    sent, attempt = spans.one("send tasks"), spans.one(ATTEMPT)
    task_id = said(attempt)["nooble.task_id"]
    assert said(sent)["messaging.message.id"] == said(attempt)["messaging.message.id"] == task_id
    assert said(attempt)["messaging.operation.type"] == "process"
    assert said(attempt)["nooble.attempt"] == 1
    assert said(attempt)["gen_ai.usage.output_tokens"] == answer["usage"]["completion_tokens"]
    for span in spans.all():
        assert (said(span)["nooble.tenant_id"], said(span)["nooble.session_id"]) == ("acme", session_id), span.name
        assert failure(span) is None, span.name


async def test_each_of_the_seven_services_is_called_in_the_trace_of_the_request(redis_url: str, tmp_path: Path) -> None:
    calls = {
        name: {"service": service, "operation": operation, "parameters": parameters}
        for name, (service, operation, parameters) in EACH_SERVICE.items()
    }
    async with stack(redis_url, tmp_path) as running:
        with kept_spans() as spans:
            body = {"plan": {"calls": calls}, "mode": "wait", "timeout_ms": 10_000}
            done = await running.client.call("POST", "/api/v1/workflow.execute", body, bearer(permissions=["*"]))
    assert done.status == 200, done.raw[440:700]
    assert done.data["status"] == "completed", done.raw
    request, attempt = spans.one("POST /api/v1/workflow.execute"), spans.one("process tasks workflow.execute")
    assert {span.context.trace_id for span in spans.all()} == {request.context.trace_id}
    steps = {said(span)["nooble.step"]: span for span in spans.all() if "nooble.step" in said(span)}
    assert steps.keys() == calls.keys()
    for name, (service, operation, _) in EACH_SERVICE.items():
        step = steps[name]
        assert step in spans.children(attempt)
        tries = [span for span in descendants(spans, step) if span.kind is SpanKind.CLIENT]
        assert (service, operation) in {(said(one)["nooble.service"], said(one)["nooble.operation"]) for one in tries}
        assert all(said(one)["http.response.status_code"] < 300 for one in tries)
    generated, embedded = spans.one("chat"), spans.one("embeddings")
    assert said(generated)["gen_ai.usage.input_tokens"] > 0
    assert said(embedded)["gen_ai.usage.input_tokens"] > 0
    assert said(embedded)["gen_ai.provider.name"] == "embedding"


def descendants(spans: Spans, span: ReadableSpan) -> list[ReadableSpan]:
    return [one for child in spans.children(span) for one in (child, *descendants(spans, child))]


async def test_a_task_that_is_retried_has_a_span_for_each_attempt(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path, task_retry_delay=0.01) as running:
        session_id = await session_of(running)
        running.fault(InjectedFaultKind.ERROR, "agent_execution", "execute", count=5)
        with kept_spans() as spans:
            assert (await ask(running, session_id)).status == 200
    first, second = spans.named(ATTEMPT)
    assert failure(first)
    assert failure(second) is None
    assert [said(one)["nooble.attempt"] for one in (first, second)] == [1, 2]
    sent = spans.one("send tasks")
    assert first.parent == second.parent
    assert first.parent is not None
    assert first.parent.span_id == sent.context.span_id
    tries = [one for one in spans.children(first) if said(one).get("nooble.operation") == "execute"]
    assert len(tries) > 1
    assert {failure(one) for one in tries} == {failure(first)}
    retries = [event for event in first.events if event.name == "call.retried"]
    assert len(retries) == len(tries) - 1


async def test_neither_content_nor_tokens_nor_queries_are_in_a_span(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as running:
        session_id = await session_of(running)
        token = bearer()["Authorization"].removeprefix("Bearer ")
        with kept_spans() as spans:
            await ask(running, session_id)
            await running.client.call("GET", f"/api/v1/task.list?session_id={session_id}&limit=1&token={token}")
            await running.client.call("GET", f"/api/v1/nowhere?token={token}")
    told = spans.said()
    assert WORDS not in told
    assert token not in told
    assert "limit=" not in told


async def test_a_trace_that_the_caller_does_not_keep_is_not_kept_here_but_goes_on(
    redis_url: str, tmp_path: Path
) -> None:
    async with stack(redis_url, tmp_path) as running:
        session_id = await session_of(running)
        with kept_spans() as spans:
            await ask(running, session_id, traceparent=f"{PARENT}-00")
            assert spans.all() == []
            await ask(running, session_id, traceparent=f"{PARENT}-01")
    request = spans.one(f"POST {CHAT}")
    assert request.parent is not None
    assert request.parent.is_remote
    assert {traceparent(span)[3:35] for span in spans.all()} == {"a" * 32}


async def test_a_sampler_that_keeps_nothing_keeps_what_the_caller_keeps(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path) as running:
        session_id = await session_of(running)
        with kept_spans(ParentBased(ALWAYS_OFF)) as spans:
            await ask(running, session_id)
            assert spans.all() == []
            await ask(running, session_id, traceparent=f"{PARENT}-01")
    assert spans.one(ATTEMPT).context.trace_id == int("a" * 32, 16)


@pytest.mark.parametrize("traced", [True, False])
async def test_the_record_of_a_task_has_the_trace_of_its_spans(redis_url: str, tmp_path: Path, traced: bool) -> None:
    async with stack(redis_url, tmp_path) as running:
        session_id = await session_of(running)
        asked = {"session_id": session_id, "content": "hi"}
        headers = {**bearer(), "traceparent": f"{PARENT}-01", "tracestate": "vendor=1"}
        if traced:
            with kept_spans() as spans:
                task_id = (await running.client.call("POST", CHAT, asked, headers)).data["task_id"]
                expected = traceparent(spans.one("send tasks"))
        else:
            task_id = (await running.client.call("POST", CHAT, asked, headers)).data["task_id"]
            expected = f"{PARENT}-01"
        record = await running.client.process.stores.dead_letters.record("acme", task_id)
        assert record is not None
        assert f'"traceparent":"{expected}"'.encode() in record.message
        assert b'"tracestate":"vendor=1"' in record.message


async def test_what_an_admission_refuses_fails_its_span_and_not_that_of_the_request(
    redis_url: str, tmp_path: Path
) -> None:
    async with stack(redis_url, tmp_path) as running:
        session_id = await session_of(running)
        await running.client.call("DELETE", f"/api/v1/session.close/{session_id}")
        with kept_spans() as spans:
            refused = await ask(running, session_id)
    code = refused.json["error"]["code"]
    assert failure(spans.one("send tasks")) == code
    request = spans.one(f"POST {CHAT}")
    assert failure(request) is None
    assert said(request)["nooble.error_code"] == code


async def test_each_item_of_a_batch_is_in_the_trace_of_its_request(redis_url: str, tmp_path: Path) -> None:
    body = {"agent_id": "echo", "items": [{"content": "one"}, {"content": "two"}]}
    async with stack(redis_url, tmp_path) as running:
        with kept_spans() as spans:
            await running.client.call("POST", "/api/v1/batch.create", body)
            items = "process tasks batch.item"
            await eventually("both are done", lambda: len(spans.named(items)) == 2)
    sent = spans.one("send tasks")
    assert [item.parent.span_id for item in spans.named(items) if item.parent] == [sent.context.span_id] * 2
    assert sent in spans.children(spans.one("POST /api/v1/batch.create"))


async def test_log_lines_have_the_ids_of_the_span_in_which_they_are_written(redis_url: str, tmp_path: Path) -> None:
    async with stack(redis_url, tmp_path, task_retries=0) as running:
        session_id = await session_of(running)
        running.fault(InjectedFaultKind.ERROR, "agent_execution", "execute")
        with kept_spans() as spans, capture_logs(processors=[add_context]) as lines:
            await ask(running, session_id)
    ids = {line["event"]: f"00-{line['trace_id']}-{line['span_id']}-01" for line in lines if "trace_id" in line}
    assert ids["task.failed"] == traceparent(spans.one(ATTEMPT))
    assert ids["request.failed"] == traceparent(spans.one(f"POST {CHAT}"))
