"""Spans of calls: what they say, what the service gets of them, and when they end."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

import orjson
import pytest
import trio
from attrs import define, evolve, field
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from orchestrator.clients.transport.http_transport import HttpTransport
from orchestrator.clients.transport.queue_transport import QueueTransport, ReplySource
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import BadGateway, CircuitOpen, OrchestratorError, ServiceUnreachable
from orchestrator.models.common.call import CallOrigin
from orchestrator.models.common.principal import TraceContext
from orchestrator.models.downstream.operation import Operation
from orchestrator.models.operations.queue_replies import QueueReply
from orchestrator.models.plans.orchestration import HIGH, ServiceCall
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from orchestrator.telemetry.tracing.spans import SpanKind as Kind
from orchestrator.telemetry.tracing.spans import begin
from tests.support.calls import call_context
from tests.support.scripted_server import Asked, Handler, reply, send_lines, serve, stream_all
from tests.support.spans import failure, kept_spans, traceparent

READ = Operation("tool_registry", "get", "GET", "/tools/{tool_id}", optional=("q",), idempotent=True, plan=None)
RUN = Operation("tool_registry", "execute", "POST", "/run", required=("text",), streams=True, plan=None)


@asynccontextmanager
async def http(handler: Handler) -> AsyncIterator[HttpTransport]:
    async with serve(handler) as url:
        transport = HttpTransport("tool_registry", ServiceSettings(url=f"{url}/base", token="a-secret"))
        yield transport
        await transport.aclose()


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_service_gets_the_span_of_the_try_as_its_parent_and_the_state_of_the_trace() -> None:
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, {})

    call = evolve(call_context(), trace=TraceContext("a" * 32, "b" * 16, state="vendor=1"))
    call = evolve(call, origin=CallOrigin(session_id="s1", task_id="t1")).to("agent", "echo")
    with kept_spans() as spans:
        async with http(handler) as transport:
            await transport.call(call, READ, {"tool_id": "a tool", "q": "secret"})
    span = spans.one("GET /tools/{tool_id}")
    [asked] = seen
    assert asked.headers["traceparent"] == traceparent(span)
    assert asked.headers["tracestate"] == "vendor=1"
    assert span.kind is SpanKind.CLIENT
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    address = said(span)
    assert address.pop("server.port") > 0
    assert address.pop("url.full").endswith("/tools/a%20tool")
    assert address == {
        "nooble.service": "tool_registry",
        "nooble.operation": "get",
        "nooble.tenant_id": "acme",
        "nooble.correlation_id": "corr-1",
        "nooble.session_id": "s1",
        "nooble.task_id": "t1",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "url.path": "/tools/a%20tool",
        "url.template": "/tools/{tool_id}",
        "server.address": "127.0.0.1",
    }
    assert "secret" not in spans.said()


async def test_without_tracing_the_trace_context_is_passed_on_as_it_came() -> None:
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, {})

    async with http(handler) as transport:
        await transport.call(call_context(), READ, {"tool_id": "a"})
    assert seen[0].headers["traceparent"] == f"00-{'a' * 32}-{'b' * 16}-01"
    assert "tracestate" not in seen[0].headers


async def test_a_try_that_fails_has_the_code_of_its_error_and_the_status_of_the_answer() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {"error": {"message": "private words"}}, 503)

    with kept_spans() as spans:
        async with http(handler) as transport:
            with pytest.raises(OrchestratorError) as caught:
                await transport.call(call_context(), READ, {"tool_id": "a"})
    span = spans.one("GET /tools/{tool_id}")
    assert failure(span) == caught.value.code
    assert said(span)["http.response.status_code"] == 503
    assert "private words" not in spans.said()


async def test_a_try_without_a_connection_has_no_status() -> None:
    with kept_spans() as spans:
        transport = HttpTransport("tool_registry", ServiceSettings(url="http://127.0.0.1:1"))
        with pytest.raises(ServiceUnreachable):
            await transport.call(call_context(), READ, {"tool_id": "a"})
    span = spans.one("GET /tools/{tool_id}")
    assert failure(span) == ServiceUnreachable.code
    assert "http.response.status_code" not in said(span)


async def test_the_span_of_a_stream_lasts_as_long_as_the_stream() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream_all(stream, {"a": 1}, {"a": 2})

    with kept_spans() as spans:
        call = call_context().to("tool", "t")
        async with http(handler) as transport, transport.stream(call, RUN, {"text": "x"}) as pieces:
            while await pieces.receive():
                assert spans.all() == []
    span = spans.one("POST /run")
    assert failure(span) is None
    assert (said(span)["gen_ai.operation.name"], said(span)["gen_ai.tool.name"]) == ("execute_tool", "t")


async def test_a_stream_that_is_cut_or_left_ends_its_span() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await send_lines(stream, {"a": 1})
        await trio.sleep_forever()

    with kept_spans() as spans:
        async with http(handler) as transport:
            with trio.move_on_after(0.05):
                async with transport.stream(call_context(), RUN, {"text": "x"}) as pieces:
                    while await pieces.receive():
                        pass
            with pytest.raises(BadGateway):
                async with transport.stream(call_context(), RUN, {"text": "x"}):
                    raise BadGateway("It broke off.")
    left, broken = spans.named("POST /run")
    assert failure(left) is None
    assert failure(broken) == BadGateway.code


async def test_the_health_checks_of_services_have_no_spans() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {})

    with kept_spans() as spans:
        async with http(handler) as transport:
            await transport.probe(call_context())
    assert spans.all() == []


@define
class Queues:
    """A service that answers each request at once."""

    status: int
    sent: list[dict[str, Any]] = field(factory=list)
    address: str = "replies"

    async def send(self, service: str, tenant_id: str, message_id: str, message: bytes, left_ms: int) -> Any:
        await trio.lowlevel.checkpoint()
        self.sent.append(orjson.loads(message))
        return message_id

    async def withdraw(self, sent: Any) -> None:
        await trio.lowlevel.checkpoint()

    def expect(self, message_id: str) -> AbstractContextManager[ReplySource]:
        return nullcontext(self)

    async def receive(self) -> QueueReply | None:
        await trio.lowlevel.checkpoint()
        return QueueReply(0, last=True, status=self.status, body=b"{}")


@pytest.mark.parametrize(("status", "fails"), [(200, False), (500, True)])
async def test_a_call_through_a_queue_has_a_span_that_the_service_gets_in_the_metadata(
    status: int, fails: bool
) -> None:
    queues = Queues(status)
    call = evolve(call_context(), trace=TraceContext("a" * 32, "b" * 16, state="vendor=1"))
    with kept_spans() as spans:
        transport = QueueTransport("tool_registry", ServiceSettings(), queues)
        with pytest.raises(OrchestratorError) if fails else nullcontext():
            await transport.call(call, READ, {"tool_id": "a"})
    span = spans.one("send tool_registry")
    [request] = queues.sent
    assert request["metadata"]["traceparent"] == traceparent(span)
    assert request["metadata"]["tracestate"] == "vendor=1"
    assert span.kind is SpanKind.CLIENT
    assert said(span)["messaging.system"] == "redis"
    assert said(span)["http.response.status_code"] == status
    assert (failure(span) is not None) == fails


async def test_a_call_that_is_not_made_is_an_event_of_the_span_around_it() -> None:
    coordinator, step = ServiceCoordinator(), ServiceCall("tool_registry", "get", HIGH)

    async def fail(_: Any) -> None:
        await trio.lowlevel.checkpoint()
        raise ServiceUnreachable("There is no connection.", service="tool_registry")

    with kept_spans() as spans, begin("around", Kind.INTERNAL, {}, None, current=True):
        refused = False
        while not refused:
            try:
                await coordinator.run(step, call_context(0.5), fail)
            except CircuitOpen:
                refused = True
            except OrchestratorError:
                pass
    events = spans.one("around").events
    assert events[-1].name == "call.refused"
    assert dict(events[-1].attributes or {})["error.type"] == CircuitOpen.code
    assert {event.name for event in events} <= {"call.retried", "call.refused"}
