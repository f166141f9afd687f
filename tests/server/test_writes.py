"""What is written without waiting: whole, in order with everything else, and no more than the client takes."""

import os
from collections.abc import Callable, MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.server import Limits, connection
from tests.server.stage import CLOSE, TEXT, Client, Stage, numbered, open_stage, request

SMALL = 2048


async def messages(client: Client) -> list[bytes]:
    """Read what comes before the close frame."""
    found: list[bytes] = []
    while True:
        opcode, payload = await client.frame()
        if opcode == CLOSE:
            return found
        assert opcode == TEXT
        found.append(payload)


async def test_a_client_that_reads_late_gets_all_messages_whole_and_in_order(stage: Stage) -> None:
    async with await stage.open_websocket("/push-now", window=SMALL) as client:
        await stage.app.stuck.wait()
        assert stage.app.sent_now
        assert await messages(client) == numbered(*range(stage.app.sent_now + 1))


async def test_what_the_system_takes_in_part_is_written_before_anything_else(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "os", SimpleNamespace(write=lambda number, data: os.write(number, data[:1])))
    async with await stage.open_websocket("/push-now") as client:
        assert await messages(client) == numbered(0, 1, 2)
    assert stage.app.sent_now == 2, "the second time something was waiting already"


async def test_what_waits_counts_as_a_write_that_the_client_does_not_read(logs: list[MutableMapping[str, Any]]) -> None:
    async with open_stage(Limits(write_seconds=0.3)) as stage:
        async with await stage.open_websocket("/push-now", window=SMALL):
            await stage.until_idle()
        await stage.assert_serves()
    assert [entry["event"] for entry in logs] == ["connection.unread"]


@pytest.mark.parametrize("leave", [Client.reset, lambda client: client.stream.socket.close()])
async def test_a_client_that_leaves_while_messages_wait_leaves_nothing(
    stage: Stage, leave: Callable[[Client], None]
) -> None:
    client = await stage.open_websocket("/push-now", window=SMALL)
    await stage.app.stuck.wait()
    leave(client)
    await stage.until_idle()


async def pieces(client: Client) -> bytes:
    """Read a chunked body."""
    await client.head()
    body = b""
    while True:
        line = b""
        while not line.endswith(b"\r\n"):
            line += await client.take(1)
        size = int(line, 16)
        body += (await client.take(size + 2))[:-2]
        if not size:
            return body


@pytest.mark.parametrize("window", [SMALL, None])
async def test_pieces_of_a_body_go_out_without_waiting_whole_and_in_order(stage: Stage, window: int | None) -> None:
    async with await stage.open(request("/push-now"), window=window) as client:
        body = await pieces(client)
        expected = b"".join(b"%d " % number * 1000 for number in range(stage.app.sent_now))
        assert body == expected + b"last"
        assert stage.app.sent_now > 0
        await client.send(request("/echo"))
        assert await client.answer() == (200, b"GET ")
        assert stage.app.outside == (False, False)


async def test_a_piece_goes_out_only_where_there_is_a_body(stage: Stage) -> None:
    async with await stage.open(request("/push-now", "close", method="HEAD")) as client:
        assert (await client.rest()).endswith(b"\r\n\r\n")
    assert stage.app.sent_now == 0


@pytest.mark.parametrize("taken", [0, 1, 1000])
async def test_an_answer_that_the_system_takes_in_part_at_first_goes_out_whole(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    def write(number: int, data: bytes) -> int:
        if not taken:
            raise BlockingIOError
        return os.write(number, data[:taken])

    monkeypatch.setattr(connection, "os", SimpleNamespace(write=write))
    async with await stage.open(request("/echo")) as client:
        assert await client.answer() == (200, b"GET ")
        for body in ("x" * 200_000, "y"):
            await client.send(request("/echo", method="POST", body=body))
            assert await client.answer() == (200, b"POST " + body.encode())


async def test_a_head_goes_out_with_the_piece_that_follows_and_the_last_piece_with_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def write(number: int, data: bytes) -> int:
        written.append(data)
        return os.write(number, data)

    monkeypatch.setattr(connection, "os", SimpleNamespace(write=write))
    async with await stage.open(request("/joined")) as client:
        head = await client.head()
        assert await client.take(10) == b"5\r\nfirst\r\n"
        stage.app.decide.set()
        assert await client.take(14) == b"4\r\nlast\r\n0\r\n\r\n"
        assert written == [head + b"5\r\nfirst\r\n", b"4\r\nlast\r\n0\r\n\r\n"]
        await client.send(request("/echo"))
        assert await client.answer() == (200, b"GET ")


async def test_a_head_that_no_piece_may_follow_goes_out_at_once(stage: Stage) -> None:
    async with await stage.open(request("/joined", "close", method="HEAD")) as client:
        assert (await client.head()).startswith(b"HTTP/1.1 200")
        stage.app.decide.set()
        assert await client.rest() == b""
