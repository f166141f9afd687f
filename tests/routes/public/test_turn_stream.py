"""A turn as a stream of events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
from attrs import define, field
from trio.testing import MockClock

from orchestrator.errors import BadGateway
from orchestrator.models.events.events import (
    ChatStatusUpdate,
    ChatStream,
    ToolExecute,
    ToolOutcome,
    ToolResult,
    ToolStatus,
)
from orchestrator.models.sessions.chat import ChatAnswer, MessageStatus
from tests.support.credentials import bearer
from tests.support.eventually import eventually
from tests.support.house import House


@define
class Stream:
    """The reading side of a stream, block by block."""

    messages: trio.MemoryReceiveChannel[dict[str, Any]]
    headers: dict[str, str] = field(factory=dict)
    rest: bytes = b""

    async def start(self) -> None:
        message = await self.messages.receive()
        self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}

    async def block(self) -> dict[str, str]:
        while b"\n\n" not in self.rest:
            self.rest += (await self.messages.receive())["body"]
        raw, _, self.rest = self.rest.partition(b"\n\n")
        return dict(line.split(": ", 1) for line in raw.decode().split("\n") if not line.startswith(":"))

    async def names(self, count: int) -> list[str]:
        return [(await self.block())["event"] for _ in range(count)]

    async def end(self) -> bytes:
        async for message in self.messages:
            self.rest += message["body"]
        return self.rest


@asynccontextmanager
async def streaming(
    house: House, session_id: str, headers: Any = None, *, within: float = 5, **more: Any
) -> AsyncIterator[Stream]:
    """Ask for a stream over bare ASGI; at the end of the block the client leaves."""
    to_app, at_app = trio.open_memory_channel[dict[str, Any]](10)
    from_app, to_client = trio.open_memory_channel[dict[str, Any]](100)
    sent = {"Content-Type": "application/json", **bearer(), **(headers or {})}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/api/v1/chat.message",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }

    async def serve() -> None:
        async with from_app:
            await house.app(scope, at_app.receive, from_app.send)  # type: ignore[arg-type] # a bare ASGI scope

    body = {"session_id": session_id, "content": "hi", "mode": "stream", **more}
    with trio.fail_after(within):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            await to_app.send({"type": "http.request", "body": orjson.dumps(body), "more_body": False})
            stream = Stream(to_client)
            await stream.start()
            yield stream
            await to_app.send({"type": "http.disconnect"})


async def sent(house: House) -> Any:
    """Wait until the message has been taken and its turn is followed."""
    await eventually("the turn is followed", lambda: house.log.followers)
    return next(iter(house.chat.accepted.values()))


KEY = {"Idempotency-Key": "k1"}


async def test_a_stream_has_the_events_of_its_turn_alone_and_ends_with_it() -> None:
    house = House()
    session_id = await house.session()
    house.log.emit("chat.stream", ChatStream("earlier", 1, "before"))
    async with streaming(house, session_id, KEY) as stream:
        accepted = await sent(house)
        house.log.play(accepted)
        blocks = [await stream.block() for _ in range(3)]
        assert [(block["id"], block["event"]) for block in blocks] == [
            ("e1-2", "chat.status_update"),
            ("e1-5", "chat.stream"),
            ("e1-6", "chat.completed"),
        ]
        frame = orjson.loads(blocks[2]["data"])
        assert (frame["offset"], frame["epoch"], frame["data"]["content"]) == (6, "e1", "Hello")
        assert await stream.end() == b""
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["ratelimit"] == '"default";r=999;t=1'
    assert house.log.followers == 0


async def test_last_event_id_resumes_behind_it() -> None:
    house = House()
    session_id = await house.session()
    async with streaming(house, session_id, KEY) as stream:
        house.log.play(await sent(house), upto=4)
        assert await stream.names(2) == ["chat.status_update", "chat.stream"]
    house.log.emit("chat.completed", ChatAnswer(next(iter(house.chat.accepted.values())).message_id, "a1", "Hello"))
    async with streaming(house, session_id, {**KEY, "Last-Event-ID": "4"}) as stream:
        assert await stream.names(1) == ["chat.completed"]
        assert await stream.end() == b""
        assert stream.headers["idempotent-replayed"] == "true"
    assert len(house.chat.sent) == 1


@pytest.mark.parametrize("last", ["e1-5", "5"])
async def test_what_has_ended_and_has_nothing_behind_the_last_event_is_204(last: str) -> None:
    house = House()
    session_id = await house.session()
    async with streaming(house, session_id, KEY) as stream:
        house.log.play(await sent(house))
        await stream.end()
    house.log.emit("chat.stream", ChatStream("another-message", 1, "not ours"))
    body = {"session_id": session_id, "content": "hi", "mode": "stream"}
    reply = await house.call("POST", "/api/v1/chat.message", body, {**bearer(), **KEY, "Last-Event-ID": last})
    assert (reply.status, reply.raw) == (204, b"")


async def test_what_was_missed_of_a_turn_that_has_ended_is_told_and_nothing_waited_for() -> None:
    house = House()
    session_id = await house.session()
    async with streaming(house, session_id, KEY) as stream:
        house.log.play(await sent(house))
        await stream.end()
    async with streaming(house, session_id, {**KEY, "Last-Event-ID": "e1-3"}) as stream:
        assert await stream.names(2) == ["chat.stream", "chat.completed"]
        assert await stream.end() == b""


async def test_a_replay_without_last_event_id_tells_the_whole_turn() -> None:
    house = House()
    session_id = await house.session()
    async with streaming(house, session_id, KEY) as stream:
        house.log.play(await sent(house))
        await stream.end()
    async with streaming(house, session_id, KEY) as stream:
        assert await stream.names(3) == ["chat.status_update", "chat.stream", "chat.completed"]


async def test_where_the_log_no_longer_reaches_back_the_answer_alone_is_told() -> None:
    house = House()
    session_id = await house.session()
    house.log.cut = True
    house.chat.answer = ChatAnswer("m1", "a1", "Hello")
    async with streaming(house, session_id, {"Last-Event-ID": "0"}) as stream:
        block = await stream.block()
        assert (block["event"], "id" in block) == ("chat.completed", False)
        assert await stream.end() == b""


async def test_where_the_log_no_longer_reaches_back_a_failure_is_told_too() -> None:
    house = House()
    session_id = await house.session()
    house.log.cut = True
    house.chat.answer = BadGateway("Agent Execution failed.")
    async with streaming(house, session_id, {"Last-Event-ID": "0"}) as stream:
        block = await stream.block()
        assert block["event"] == "system.error"
        assert orjson.loads(block["data"])["data"]["error"]["code"] == "ORCH_CONN_002"


@pytest.mark.parametrize("status", [MessageStatus.FAILED, MessageStatus.CANCELLED, MessageStatus.INTERRUPTED])
async def test_a_turn_without_an_answer_ends_the_stream_too(status: MessageStatus) -> None:
    house = House()
    async with streaming(house, await house.session(), KEY) as stream:
        accepted = await sent(house)
        house.log.emit("chat.status_update", ChatStatusUpdate(accepted.message_id, accepted.task_id, status))
        assert await stream.names(1) == ["chat.status_update"]
        assert await stream.end() == b""


async def test_the_tools_of_a_turn_belong_to_its_stream() -> None:
    house = House()
    async with streaming(house, await house.session(), KEY) as stream:
        accepted = await sent(house)
        house.log.emit("tool.execute", ToolExecute("c1", accepted.message_id, "clock", {}, 1000))
        house.log.emit("tool.result", ToolResult("c2", ToolOutcome(ToolStatus.SUCCESS)))
        house.log.emit("tool.result", ToolResult("c1", ToolOutcome(ToolStatus.SUCCESS)))
        assert [(await stream.block())["id"] for _ in range(2)] == ["e1-1", "e1-3"]


async def test_a_client_that_leaves_ends_its_stream() -> None:
    house = House()
    async with streaming(house, await house.session(), KEY):
        await sent(house)
    assert house.log.followers == 0


async def test_a_stream_lasts_as_long_as_its_turn_however_silent_it_is(autojump_clock: MockClock) -> None:
    house = House()
    async with streaming(house, await house.session(), KEY, within=600, timeout_ms=1000) as stream:
        accepted = await sent(house)
        await trio.sleep(130)
        house.log.emit("chat.completed", ChatAnswer(accepted.message_id, "a1", "Hello"))
        text = await stream.end()
    assert text.startswith(b": keep-alive\n" * 8 + b"id: e1-1\n"), "a comment is no event of its own"


async def test_a_refused_message_is_an_error_and_no_stream() -> None:
    house = House()
    body = {"session_id": "unknown", "content": "hi", "mode": "stream"}
    reply = await house.call("POST", "/api/v1/chat.message", body)
    assert reply.fault == (404, "ORCH_NOTF_001", "")
    body["session_id"] = await house.session()
    reply = await house.call("POST", "/api/v1/chat.message", body, {**bearer(), "Last-Event-ID": "x"})
    assert reply.fault == (400, "ORCH_VAL_003", "$.headers.Last-Event-ID")
