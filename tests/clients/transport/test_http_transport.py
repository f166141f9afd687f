"""Calls of services: what is sent, and what every wrong answer becomes."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
from attrs import evolve

from orchestrator.clients.transport.http_errors import InputRefused
from orchestrator.clients.transport.http_pieces import MAX_ANSWER_BYTES
from orchestrator.clients.transport.http_transport import HttpTransport
from orchestrator.clients.transport.responses import MAX_LINE_BYTES, Lines
from orchestrator.clients.transport.transport import Transport
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    ConnectionBroken,
    InvalidAnswer,
    InvalidParameter,
    NotFound,
    OrchestratorError,
    ServiceFailed,
    ServiceFault,
    ServiceRefused,
    ServiceUnreachable,
)
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.principal import TraceContext
from orchestrator.models.downstream.operation import Operation
from tests.support.eventually import PATIENCE
from tests.support.scripted_server import Asked, Handler, begin_stream, reply, send_lines, serve, stream_all

POST = Operation("tool_registry", "post", "POST", "/x", optional=("a", "n"), plan=None)
READ = Operation("tool_registry", "read", "GET", "/x", optional=("q", "none"), idempotent=True, plan=None)
MISSING = Operation("tool_registry", "missing", "GET", "/missing", idempotent=True, plan=None)
STREAM = Operation("tool_registry", "stream", "POST", "/stream", streams=True, plan=None)


def context(seconds: float = 10.0, key: str | None = None) -> CallContext:
    return CallContext("acme", "corr-1", "req-1", TraceContext("a" * 32, "b" * 16), trio.current_time() + seconds, key)


@asynccontextmanager
async def transport(handler: Handler, timeout: float = 5.0) -> AsyncIterator[Transport]:
    async with serve(handler) as url:
        under_test = HttpTransport(
            "tool_registry", ServiceSettings(url=f"{url}/base/", token="secret", timeout=timeout)
        )
        yield under_test
        await under_test.aclose()


def raw(data: bytes) -> Handler:
    """Answer with these bytes, and close."""

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(data)
        await stream.aclose()

    return handler


async def failure(handler: Handler, *, timeout: float = 5.0, call: CallContext | None = None) -> OrchestratorError:
    async with transport(handler, timeout) as under_test:
        with pytest.raises(OrchestratorError) as caught:
            await under_test.call(call or context(), POST, {"a": 1})
    return caught.value


async def test_a_call_carries_the_common_headers() -> None:
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, {"ok": True})

    async with transport(handler) as under_test:
        answer = await under_test.call(context(key="do it once"), POST, {"a": "ü"})
    assert answer.truth("ok")
    (asked,) = seen
    assert (asked.method, asked.target, asked.body) == ("POST", "/base/x", {"a": "ü"})
    assert asked.headers | {"host": "", "x-deadline-ms": "", "content-length": "", "accept": ""} == {
        "host": "",
        "accept": "",
        "content-length": "",
        "content-type": "application/json",
        "authorization": "Bearer secret",
        "x-tenant-id": "acme",
        "x-correlation-id": "corr-1",
        "x-request-id": "req-1",
        "x-schema-version": "1.1",
        "x-source-service": "agent_orchestrator",
        "x-deadline-ms": "",
        "idempotency-key": "do it once",
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "x-trace-id": "a" * 32,
        "x-domain-action": "tool_registry.post",
    }
    assert 4000 < int(asked.headers["x-deadline-ms"]) <= 5000


async def test_parameters_go_where_the_operation_has_them() -> None:
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, {}, 202 if asked.method == "POST" else 200)

    of_level_2 = Operation("t", "do", "POST", "/a/{tenant_id}/{name}/b", optional=("x", "y"), domain="tool", plan=None)
    reading = Operation("t", "see", "GET", "/a/{name}", optional=("x", "y"), plan=None)
    async with transport(handler) as under_test:
        done = await under_test.call(context(), of_level_2, {"name": "ü/?", "x": None}, task_id="t1", user_id=None)
        read = await under_test.call(context(), reading, {"name": "n", "x": None, "y": 1})
        for name in ("", ".", ".."):
            with pytest.raises(InvalidParameter):
                await under_test.call(context(), reading, {"name": name})
    assert done.accepted
    assert not read.accepted
    assert [asked.target for asked in seen] == ["/base/a/acme/%C3%BC%2F%3F/b", "/base/a/n?y=1"]
    message = seen[0].body
    assert message["type"] == {"domain": "tool", "action": "do"}
    assert message["payload"] == {"x": None}
    assert message["metadata"]["task_id"] == message["task_id"] == "t1"
    assert "user_id" not in message["metadata"]


async def test_a_header_can_not_be_smuggled_in() -> None:
    seen: list[Asked] = []

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        seen.append(asked)
        await reply(stream, {})

    async with transport(handler) as under_test:
        await under_test.call(context(key="a\r\nX-Tenant-ID: globex"), POST, {})
    assert seen[0].headers["x-tenant-id"] == "acme"
    assert seen[0].headers["idempotency-key"] == "a??X-Tenant-ID: globex"


async def test_connections_are_used_again() -> None:
    connections: set[trio.SocketStream] = set()

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        connections.add(stream)
        if asked.path.endswith("stream"):
            await stream_all(stream, {"n": 1}, {"n": 2})
        else:
            await reply(stream, {"error": "no"}, 404 if asked.path.endswith("missing") else 200)

    async with transport(handler) as under_test:
        for _ in range(3):
            await under_test.call(context(), READ, {"q": "a b", "none": None})
            with pytest.raises(NotFound):
                await under_test.call(context(), MISSING, {})
            async with under_test.stream(context(), STREAM, {}) as pieces:
                lines = Lines(pieces)
                while await lines.receive() is not None:
                    pass
    assert len(connections) == 1


async def test_a_service_without_a_url_is_named_with_its_setting() -> None:
    with pytest.raises(ServiceUnreachable, match="ORCH_SERVICES__WORKFLOW_ENGINE__URL is empty"):
        await HttpTransport("workflow_engine", ServiceSettings()).call(context(), READ, {})


async def test_a_port_without_listener_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ServiceUnreachable, match="no connection to Query"):
            await HttpTransport("query", ServiceSettings(url=url)).call(context(), READ, {})


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    with pytest.raises(ServiceUnreachable):
        await HttpTransport("query", ServiceSettings(url="http://nowhere.invalid")).call(context(), READ, {})


async def test_a_silent_service_is_a_timeout() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    assert isinstance(await failure(handler, timeout=0.05), CallTimeout)
    assert isinstance(await failure(handler, call=context(0.05)), CallTimeout)


async def test_a_body_that_does_not_come_is_a_timeout() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":')
        await trio.sleep_forever()

    assert isinstance(await failure(handler, timeout=0.05), CallTimeout)


async def test_a_reset_is_unreachable() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await stream.aclose()

    assert isinstance(await failure(handler), ConnectionBroken)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "broke off"),
        (b"\x00\x01\x02 garbage\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<html></h>", "else than JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "else than JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "no object"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "broke its answer off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "broke its answer off"),
        (b"HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", "answered 302"),
    ],
)
async def test_a_malformed_body_is_never_taken_for_an_answer(answer: bytes, words: str) -> None:
    error = await failure(raw(answer))
    assert isinstance(error, BadGateway | InvalidAnswer | ServiceRefused)
    assert words in error.message


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        while True:
            await send_lines(stream, b"x" * 1_000_000)

    with trio.fail_after(PATIENCE):
        error = await failure(handler)
    assert isinstance(error, InvalidAnswer)
    assert "more than is taken" in error.message


async def test_an_answer_that_is_just_not_too_large_is_read() -> None:
    large = {"text": "x" * (MAX_ANSWER_BYTES - 100)}

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, large)

    async with transport(handler) as under_test:
        assert (await under_test.call(context(), READ, {})).text("text") == large["text"]


@pytest.mark.parametrize(
    ("status", "key", "kind", "retryable"),
    [
        (400, None, InputRefused, False),
        (401, None, ServiceRefused, False),
        (403, None, ServiceRefused, False),
        (404, None, NotFound, False),
        (409, None, ServiceRefused, False),
        (422, None, InputRefused, False),
        (429, None, ServiceFault, True),
        (500, None, ServiceFailed, False),
        (500, "key", BadGateway, True),
        (502, None, BadGateway, True),
        (503, None, BadGateway, True),
        (504, None, BadGateway, True),
    ],
)
async def test_each_status_becomes_its_error(
    status: int, key: str | None, kind: type[OrchestratorError], retryable: bool
) -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {"error": {"code": "TOOL_7", "message": "No."}}, status, "Retry-After: 3")

    error = await failure(handler, call=context(key=key))
    assert type(error) is kind
    assert error.retryable is retryable
    assert error.service == "tool_registry"
    assert [fault.message for fault in error.details] == ["TOOL_7: No."]
    assert error.retry_after_ms == (3000 if status in {429, 502, 503, 504} or (status, key) == (500, "key") else None)


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"[1]", b'"x"', b'{"error": 7, "code": []}', b""])
async def test_a_failure_needs_no_json(body: bytes) -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, body, 502)

    error = await failure(handler)
    assert isinstance(error, BadGateway)
    assert error.details == []


async def read(under_test: Transport, call: CallContext | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with under_test.stream(call or context(), STREAM, {}) as pieces:
        lines = Lines(pieces)
        while (batch := await lines.receive()) is not None:
            found += [line.fields for line in batch]
    return found


async def test_a_stream_may_be_cut_anywhere_into_pieces() -> None:
    lines = b"".join(orjson.dumps({"n": n, "text": "ü€😀"}) + b"\n" for n in range(3)) + b'\n\n{"n": 3}'

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        for at in range(len(lines)):
            await send_lines(stream, lines[at : at + 1])
        await stream.send_all(b"0\r\n\r\n")

    async with transport(handler) as under_test:
        found = await read(under_test)
    assert [line["n"] for line in found] == [0, 1, 2, 3]
    assert {line.get("text") for line in found[:3]} == {"ü€😀"}


async def test_half_a_character_is_no_reason_to_lose_an_answer() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(
            stream, b'{"result": {"text": "a\\ud83d", "\\ude00": ["\\ud83d\\ude00", 1e3, 18446744073709551616]}}'
        )

    async with transport(handler) as under_test:
        answer = await under_test.call(context(), READ, {})
    assert answer.mapping("result") == {"text": "a�", "�": ["😀", 1000.0, 2.0**64]}


async def test_bytes_that_are_no_characters_are_replaced() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, b'{"text": "a\xf0\x9f"}')

    async with transport(handler) as under_test:
        assert (await under_test.call(context(), READ, {})).text("text") == "a�"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b'{"n": 1}\nnonsense\n', "else than JSON"),
        (b"[1, 2]\n", "no object"),
        (b"x" * (MAX_LINE_BYTES + 1), "more than is taken"),
    ],
)
async def test_a_stream_of_nonsense_is_refused(sent: bytes, words: str) -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, sent)
        await trio.sleep_forever()

    async with transport(handler) as under_test:
        with pytest.raises(InvalidAnswer, match=words):
            await read(under_test)


async def test_a_stream_that_falls_silent_is_a_timeout() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        await send_lines(stream, {"n": 1})
        await trio.sleep_forever()

    async with transport(handler, timeout=0.05) as under_test:
        with pytest.raises(CallTimeout, match="fell silent"):
            await read(under_test)


async def test_a_stream_may_last_longer_than_one_silence() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await begin_stream(stream)
        for n in range(5):
            await trio.sleep(0.15)
            await send_lines(stream, {"n": n})
        await stream.send_all(b"0\r\n\r\n")

    async with transport(handler, timeout=0.6) as under_test:
        assert len(await read(under_test)) == 5
        with pytest.raises(CallTimeout):
            await read(under_test, context(0.2))


async def test_a_refused_stream_is_an_error_like_any_other() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {"error": {"code": "AGEX_1"}}, 503)

    async with transport(handler) as under_test:
        with pytest.raises(BadGateway):
            await read(under_test)


async def test_work_accepted_for_later_is_no_stream() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await reply(stream, {"payload": {}}, 202)

    async with transport(handler) as under_test:
        with pytest.raises(ServiceRefused, match="202"):
            await read(under_test)


@pytest.mark.parametrize("steps", range(40))
async def test_a_call_can_be_cancelled_at_each_of_its_awaits(steps: int) -> None:
    """The connection that it used is closed or good: the next call gets its own answer."""

    async def handler(asked: Asked, stream: trio.SocketStream) -> None:
        if asked.path.endswith("stream"):
            await stream_all(stream, {"n": 1}, {"n": 2}, {"n": 3})
        else:
            await reply(stream, {"asked": asked.body["n"]})

    async with transport(handler) as under_test:
        for victim in (lambda: under_test.call(context(), POST, {"n": 1}), lambda: read(under_test)):
            async with trio.open_nursery() as nursery:

                async def doomed() -> None:
                    await victim()  # noqa: B023 - the nursery ends before the next victim is named

                nursery.start_soon(doomed)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            for n in range(2, 4):
                answer = await under_test.call(context(), POST, {"n": n})
                assert answer.whole("asked") == n


async def test_a_call_past_its_deadline_times_out_at_once() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with transport(handler) as under_test:
        with pytest.raises(CallTimeout):
            await under_test.call(evolve(context(), deadline=trio.current_time() - 1), READ, {})
