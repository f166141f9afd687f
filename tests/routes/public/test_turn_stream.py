"""A turn as a stream of events."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import trio
import trio.testing
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
from orchestrator.routes.public.turn_stream import TurnEvents
from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.frames import make_body
from tests.support.credentials import bearer
from tests.support.eventually import eventually
from tests.support.house import House
from tests.support.streams import Stream, open_stream


@asynccontextmanager
async def streaming(
    house: House, session_id: str, headers: Any = None, *, within: float = 5, **more: Any
) -> AsyncIterator[Stream]:
    """Ask for the stream of a turn; at the end of the block the client leaves."""
    body = {"session_id": session_id, "content": "hi", "mode": "stream", **more}
    sent = {**bearer(), **(headers or {})}
    async with open_stream(house.app, "POST", "/api/v1/chat.message", sent, body=body, within=within) as stream:
        yield stream


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


OTHERS = ChatStream("another-message", 1, "not ours")


async def test_all_events_but_the_last_are_passed_on_where_the_server_takes_them_at_once() -> None:
    house = House()
    session_id = await house.session()
    async with streaming(house, session_id, KEY) as stream:
        accepted = await sent(house)
        house.log.play(accepted, upto=1)
        assert await stream.names(1) == ["chat.status_update"]
        await trio.testing.wait_all_tasks_blocked()
        pass_on = house.log.pass_on
        assert pass_on is not None
        body = getattr(pass_on, "__self__", None)
        assert isinstance(body, TurnEvents)
        taken: list[bytes] = []

        def take(data: bytes) -> bool:
            taken.append(data)
            return True

        body.exchange.send_body_now = take

        def event(offset: int, name: str, data: object) -> LoggedEvent:
            return LoggedEvent(offset, "e1", name, make_body(name, data, tenant_id="acme", correlation_id="c1"))

        piece = event(2, "chat.stream", ChatStream(accepted.message_id, 1, "Hel"))
        assert body.pass_on([piece, event(3, "chat.stream", ChatStream(accepted.message_id, 2, "lo"))])
        assert [line for line in taken[0].decode().splitlines() if line.startswith("id:")] == ["id: e1-2", "id: e1-3"]
        assert not body.pass_on([piece, event(3, "chat.completed", ChatAnswer(accepted.message_id, "a1", "Hello"))])
        assert len(taken) == 1
        processing = ChatStatusUpdate(accepted.message_id, accepted.task_id, MessageStatus.PROCESSING)
        assert body.pass_on([event(4, "chat.stream", OTHERS), event(5, "chat.status_update", processing)])
        assert [line for line in taken[1].decode().splitlines() if line.startswith("id:")] == ["id: e1-5"]
        assert body.pass_on([event(6, "chat.stream", OTHERS)]), "nothing is to be sent, and no task is to be woken"
        failed = ChatStatusUpdate(accepted.message_id, accepted.task_id, MessageStatus.FAILED)
        assert not body.pass_on([event(7, "chat.status_update", failed)])
        assert len(taken) == 2
