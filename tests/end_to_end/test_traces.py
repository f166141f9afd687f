"""The spans of real processes, as a collector gets them."""

import os
import time
from pathlib import Path
from typing import Any

import trio
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.end_to_end.stack import SECRET, START_SECONDS, Stack, open_stack
from tests.support.collector import Collector, open_collector, take_nothing
from tests.support.eventually import eventually
from tests.support.forked import run_forked
from tests.support.scripted_server import serve

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
WORDS = "a word of this user alone"
STOP_SECONDS = 10.0


def traced(stack: Stack, url: str) -> None:
    stack.environ |= {
        "ORCH_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }


async def ask(stack: Stack, session_id: str) -> Any:
    async with stack.client() as client:
        body = {"session_id": session_id, "content": WORDS, "mode": "wait"}
        headers = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"}
        answer = await client.post("/api/v1/chat.message", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def of_trace(collector: Collector) -> dict[str, Any]:
    return {span.name: span for span in collector.spans if span.trace_id.hex() == TRACE_ID}


async def test_a_collector_gets_the_whole_trace_of_a_turn_from_two_processes(tmp_path: Path) -> None:
    async with open_collector() as collector, open_stack(tmp_path) as stack:
        traced(stack, collector.url)
        await stack.start()
        await stack.start()
        session_id = await stack.session()
        answer = await ask(stack, session_id)
        assert answer["content"] == WORDS
        request = "POST /api/v1/chat.message"
        await eventually(
            "all of it is there", lambda: {request, "process tasks chat.message"} <= {*of_trace(collector)}
        )
        for node in stack.nodes:
            assert await node.stop() == 0
        spans = of_trace(collector)
    sent, attempt = spans["send tasks"], spans["process tasks chat.message"]
    assert spans[request].parent_span_id.hex() == PARENT_ID
    assert sent.parent_span_id == spans[request].span_id
    assert attempt.parent_span_id == sent.span_id
    kinds = {name: Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_") for name, span in spans.items()}
    called = "POST /api/v1/agents/{agent_id}/execute"
    assert spans[called].parent_span_id == attempt.span_id
    assert (kinds[request], kinds["send tasks"]) == ("SERVER", "PRODUCER")
    assert (kinds["process tasks chat.message"], kinds[called]) == ("CONSUMER", "CLIENT")
    assert collector.resource["service.name"] == "agent-orchestrator"
    assert collector.resource["deployment.environment.name"] == "test"
    assert WORDS.encode() not in b"".join(asked.raw for asked in collector.asked)


async def test_a_collector_that_hangs_is_noticed_by_no_user_and_holds_up_no_stop(tmp_path: Path) -> None:
    async with serve(take_nothing) as url, open_stack(tmp_path) as stack:
        traced(stack, url)
        stack.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = stack.environ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] = "4"
        node = await stack.start()
        session_id = await stack.session()
        with trio.fail_after(20):
            for _ in range(3):
                assert (await ask(stack, session_id))["content"] == WORDS
        began = time.monotonic()
        assert await node.stop() == 0
        assert time.monotonic() - began < STOP_SECONDS


async def test_a_process_whose_traces_go_nowhere_that_can_be_says_so_and_does_not_start() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ORCH_", "OTEL_"))}
    traced = {"ORCH_JWT__SECRET": SECRET, "ORCH_TRACING": "true", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with trio.fail_after(START_SECONDS):
        ended = await run_forked("orchestrator", environ=own | traced, directory=Path.cwd())
    assert ended.code == 2
    assert ended.err.splitlines()[0] == "OTEL_EXPORTER_OTLP_PROTOCOL: expected one of http/protobuf"
