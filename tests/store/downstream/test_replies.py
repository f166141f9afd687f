"""Requests through queues and their replies, on a real Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import trio
import trio.lowlevel
from attrs import frozen

from orchestrator.clients.transport import queue_transport
from orchestrator.clients.transport.http_errors import InputRefused
from orchestrator.clients.transport.queue_transport import QueueTransport
from orchestrator.clients.transport.responses import Lines, Pieces
from orchestrator.config.settings import ServiceSettings
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    InvalidAnswer,
    NotFound,
    OrchestratorError,
    ServiceFailed,
    ServiceFault,
    StoreUnavailable,
)
from orchestrator.models.downstream.operation import Operation
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.background_loops import BackgroundLoops, Loop
from orchestrator.store.downstream import replies as replies_module
from orchestrator.store.downstream.replies import RedisRequestQueues
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from tests.support.calls import call_context
from tests.support.eventually import PATIENCE, eventually

ASK = Operation("tool_registry", "ask", "POST", "/{name}", optional=("a",), domain="tool", plan=None)
READ = Operation("tool_registry", "read", "GET", "/x", domain="tool", idempotent=True, plan=None)
QUEUE = "tool_registry:tasks:acme"


@frozen
class House:
    """A desk, the transport of a service, and the service's own side."""

    redis: Redis
    desk: RedisRequestQueues
    transport: QueueTransport
    dropped: list[None]

    async def request(self, *, keep: bool = False) -> dict[str, Any]:
        """Return the oldest request, once it is there, and take it out."""
        entries = await eventually("a request is there", lambda: self.redis.xrange(QUEUE, count=1))
        if not keep:
            await self.redis.xdel(QUEUE, entries[0][0])
        message: dict[str, Any] = orjson.loads(entries[0][1][b"message"])
        return message

    async def are_queued(self, count: int) -> None:
        """Wait until so many requests are in the queue."""
        await eventually(f"{count} requests wait", lambda: self.redis.xlen(QUEUE), lambda found: found == count)

    async def all_read(self) -> None:
        """Wait until the desk has read all replies."""
        await eventually("all is read", lambda: self.redis.xlen(self.desk.address), lambda left: left == 0)

    async def reply(self, message: dict[str, Any], *bodies: Any, status: int = 200, **more: Any) -> None:
        """Send replies, the last one marked."""
        for at, body in enumerate(bodies):
            raw = body if isinstance(body, bytes) else orjson.dumps(body)
            fields = {"in_reply_to": message["message_id"], "sequence": at, "last": int(at == len(bodies) - 1)}
            fields |= {"status": status, "message": raw, **more}
            await self.redis.xadd(message["metadata"]["reply_to"], fields, nomkstream=True)


@asynccontextmanager
async def house(redis_url: str, timeout: float = 5.0) -> AsyncIterator[House]:
    dropped: list[None] = []
    async with open_redis(redis_url) as redis, trio.open_nursery() as nursery:
        desk = RedisRequestQueues(redis, Keys(), "n1", lambda: dropped.append(None))
        await BackgroundLoops().start(nursery, Loop("replies", desk.run))
        transport = QueueTransport("tool_registry", ServiceSettings(timeout=timeout), desk)
        yield House(redis, desk, transport, dropped)
        nursery.cancel_scope.cancel()


async def answered(redis_url: str, *bodies: Any, **more: Any) -> Any:
    """Return what a call gets that is answered so."""
    found: list[Any] = []
    async with house(redis_url) as here, trio.open_nursery() as nursery:

        async def caller() -> None:
            try:
                found.append(await here.transport.call(call_context(), ASK, {"name": "n"}))
            except OrchestratorError as error:
                found.append(error)

        nursery.start_soon(caller)
        await here.reply(await here.request(), *bodies, **more)
    return found[0]


async def test_a_request_is_a_message_of_the_platform(redis_url: str) -> None:
    async with house(redis_url) as here, trio.open_nursery() as nursery:
        context = call_context(key="once")

        async def caller() -> None:
            answer = await here.transport.call(context, ASK, {"name": "n", "a": 1}, task_id="t1", session_id=None)
            assert answer.fields == {"payload": {"ok": True}}

        nursery.start_soon(caller)
        message = await here.request(keep=True)
        entry = (await here.redis.xrange(QUEUE))[0][1]
        await here.reply(message, {"payload": {"ok": True}})
    seconds, _ = 10.0, None
    assert message["metadata"].pop("timeout_ms") <= seconds * 1000
    assert int(entry[b"deadline"]) > 0
    for name in ("message_id", "created_at", "expires_at"):
        assert message.pop(name)
    assert message == {
        "task_id": "t1",
        "session_id": None,
        "conversation_id": None,
        "tenant_id": "acme",
        "correlation_id": "corr-1",
        "schema_version": "1.1",
        "status": "pending",
        "type": {"domain": "tool", "action": "ask"},
        "priority": 1,
        "source_service": "agent_orchestrator",
        "target_service": "tool_registry",
        "metadata": {
            "task_id": "t1",
            "operation": "ask",
            "reply_to": "orchestrator:replies:n1",
            "request_id": "req-1",
            "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
            "idempotency_key": "once",
        },
        "payload": {"name": "n", "a": 1},
    }


async def test_many_callers_each_get_their_own_answer(redis_url: str) -> None:
    async with house(redis_url) as here, trio.open_nursery() as nursery:

        async def caller(number: int) -> None:
            answer = await here.transport.call(call_context(), ASK, {"name": "n", "a": number})
            assert answer.fields == {"payload": {"a": number}}

        for number in range(100):
            nursery.start_soon(caller, number)
        await here.are_queued(100)
        for _, values in reversed(await here.redis.xrange(QUEUE)):
            message = orjson.loads(values[b"message"])
            await here.reply(message, {"payload": {"a": message["payload"]["a"]}})
    assert here.dropped == []


async def test_what_is_read_leaves_the_stream_and_the_stream_goes_with_its_process(redis_url: str) -> None:
    async with house(redis_url) as here, trio.open_nursery() as nursery:
        nursery.start_soon(here.transport.call, call_context(), ASK, {"name": "n"})
        await here.reply(await here.request(), {"payload": {}})
        await here.all_read()
        assert 0 < await here.redis.pttl(here.desk.address) <= replies_module.REPLIES_TTL_MS


async def test_an_answer_may_come_in_parts(redis_url: str) -> None:
    assert (await answered(redis_url, b'{"payload": ', b'{"a": 1}', b"}")).fields == {"payload": {"a": 1}}


async def test_work_accepted_for_later_is_marked(redis_url: str) -> None:
    assert (await answered(redis_url, {"payload": {}}, status=202)).accepted
    assert not (await answered(redis_url, {"payload": {}})).accepted


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, NotFound),
        (422, InputRefused),
        (429, ServiceFault),
        (500, ServiceFailed),
        (503, BadGateway),
    ],
)
async def test_each_status_becomes_its_error_as_over_http(
    redis_url: str, status: int, kind: type[OrchestratorError]
) -> None:
    error = await answered(redis_url, {"error": {"code": "TOOL_7", "message": "No."}}, status=status, retry_after=3)
    assert type(error) is kind
    assert error.service == "tool_registry"
    assert [fault.message for fault in error.details] == ["TOOL_7: No."]
    assert error.retry_after_ms == (3000 if status in {429, 503} else None)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
async def test_a_malformed_body_is_never_taken_for_an_answer(redis_url: str, body: bytes) -> None:
    assert isinstance(await answered(redis_url, body), InvalidAnswer)


@pytest.mark.parametrize("more", [{"sequence": 1}, {"sequence": "x"}, {"last": 0, "sequence": -1}])
async def test_a_reply_out_of_order_is_a_broken_answer(redis_url: str, more: dict[str, Any]) -> None:
    error = await answered(redis_url, {"payload": {}}, **more)
    assert isinstance(error, BadGateway)
    assert "gap" in error.message


async def stream(here: House, sent: list[tuple[int, int, bytes]], seconds: float = 5.0) -> list[dict[str, Any]]:
    """Return the lines of a stream that is answered by (sequence, last, body)."""
    lines: list[dict[str, Any]] = []
    async with trio.open_nursery() as nursery:

        async def service() -> None:
            message = await here.request()
            for sequence, last, body in sent:
                fields = {"in_reply_to": message["message_id"], "sequence": sequence, "last": last, "message": body}
                await here.redis.xadd(message["metadata"]["reply_to"], fields, nomkstream=True)

        nursery.start_soon(service)
        async with here.transport.stream(call_context(seconds), ASK, {"name": "n"}) as pieces:
            reader = Lines(pieces)
            while (batch := await reader.receive()) is not None:
                lines += [line.fields for line in batch]
    return lines


async def test_several_replies_make_a_stream(redis_url: str) -> None:
    async with house(redis_url) as here:
        sent = [(0, 0, b'{"n": 1}\n{"n"'), (1, 0, b": 2}\n"), (2, 1, b"")]
        assert await stream(here, sent) == [{"n": 1}, {"n": 2}]


async def test_a_character_may_be_cut_between_two_replies(redis_url: str) -> None:
    line = '{"text": "é😀"}\n'.encode()
    async with house(redis_url) as here:
        pieces = [(at, int(at == len(line) - 1), line[at : at + 1]) for at in range(len(line))]
        assert await stream(here, pieces) == [{"text": "é😀"}]


@pytest.mark.parametrize(
    ("sent", "kind", "words"),
    [
        ([(0, 0, b'{"n": 1}\n'), (2, 1, b'{"n": 2}\n')], BadGateway, "gap"),
        ([(0, 0, b'{"n": 1}\n'), (0, 0, b'{"n": 1}\n')], BadGateway, "gap"),
        ([(0, 0, b'{"n": 1}\n'), (1, 1, b'{"n')], InvalidAnswer, "else than JSON"),
    ],
)
async def test_a_stream_that_is_cut_or_has_gaps_is_broken(
    redis_url: str, sent: list[tuple[int, int, bytes]], kind: type[ServiceFault], words: str
) -> None:
    async with house(redis_url) as here:
        with pytest.raises(ExceptionGroup) as caught:
            await stream(here, sent)
        assert caught.group_contains(kind, match=words)


async def test_a_stream_that_falls_silent_is_a_timeout(redis_url: str) -> None:
    async with house(redis_url, timeout=0.1) as here:
        with pytest.raises(ExceptionGroup) as caught:
            await stream(here, [(0, 0, b'{"n": 1}\n')])
        assert caught.group_contains(CallTimeout, match="fell silent")


async def read_all(pieces: Pieces) -> None:
    while await pieces.receive() is not None:
        pass


async def test_a_reader_that_is_too_slow_loses_its_stream_alone(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies_module, "_INBOX_BYTES", 100)
    async with house(redis_url) as here, trio.open_nursery() as nursery:

        async def service() -> None:
            await here.reply(await here.request(), *[b"x" * 60] * 4)
            replied.set()

        replied = trio.Event()
        nursery.start_soon(service)
        async with here.transport.stream(call_context(), ASK, {"name": "n"}) as pieces:
            await replied.wait()
            await here.all_read()
            with pytest.raises(BadGateway, match="faster than is read"):
                await read_all(pieces)


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_a_caller_that_gives_up_withdraws_its_request(redis_url: str, how: str) -> None:
    async with house(redis_url) as here, here.redis.subscriber() as subscriber:
        await subscriber.subscribe("tool_registry:cancel")
        if how == "cancelled":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(here.transport.call, call_context(), ASK, {"name": "n"})
                message = await here.request(keep=True)
                nursery.cancel_scope.cancel()
        else:
            async with trio.open_nursery() as nursery:

                async def caller() -> None:
                    with pytest.raises(CallTimeout):
                        await here.transport.call(call_context(0.2), ASK, {"name": "n"})

                nursery.start_soon(caller)
                message = await here.request(keep=True)
        with trio.fail_after(PATIENCE):
            told = await subscriber.__anext__()
        assert getattr(told, "payload", None) == message["message_id"].encode()
        assert await here.redis.xlen(QUEUE) == 0
        await here.reply(message, {"payload": {}})
        await here.all_read()
        assert len(here.dropped) == 1


async def test_a_full_queue_takes_no_more_and_loses_nothing(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_module, "QUEUE_LENGTH", 2)
    async with house(redis_url) as here, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(here.transport.call, call_context(), ASK, {"name": "n"})
        await here.are_queued(2)
        with pytest.raises(ServiceFault, match="as many requests waiting") as caught:
            await here.transport.call(call_context(), ASK, {"name": "n"})
        assert caught.value.retry_after_ms == 1000
        assert await here.redis.xlen(QUEUE) == 2
        nursery.cancel_scope.cancel()


async def test_a_full_queue_drops_expired_requests(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_module, "QUEUE_LENGTH", 2)
    async with house(redis_url) as here, trio.open_nursery() as nursery:
        for _ in range(2):
            await here.desk.send("tool_registry", "acme", "m", b"{}", -1)
        nursery.start_soon(here.transport.call, call_context(), ASK, {"name": "n"})
        await here.are_queued(1)
        await here.reply(await here.request(), {"payload": {}})


async def test_a_store_that_comes_and_goes_is_named_with_the_service_and_replies_come_again(tmp_path: Path) -> None:
    async with run_redis(tmp_path) as server, house(server.url) as here:
        await server.kill()
        with pytest.raises(StoreUnavailable, match="no way to Tool Registry") as caught:
            await here.transport.call(call_context(), ASK, {"name": "n"})
        assert caught.value.service == "tool_registry"
        await server.start()
        await eventually("a request succeeds", lambda: succeeds(here), within=20)


async def succeeds(here: House) -> bool:
    """Tell whether a call is answered."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.transport.call, call_context(2), READ, {})
            await here.reply(await here.request(), {"payload": {}})
    except ExceptionGroup:
        await here.redis.delete(QUEUE)
        return False
    return True


async def test_a_health_check_has_no_tenant(redis_url: str) -> None:
    queue = f"tool_registry:tasks:{queue_transport.HEALTH_TENANT}"
    async with house(redis_url) as here, trio.open_nursery() as nursery:
        nursery.start_soon(here.transport.probe, call_context())
        entries = await eventually("a request is there", lambda: here.redis.xrange(queue))
        message = orjson.loads(entries[0][1][b"message"])
        assert message["metadata"]["operation"] == "health"
        await here.reply(message, b"whatever")
