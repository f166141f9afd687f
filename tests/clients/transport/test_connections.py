"""Connections to a service: which are used again, and what a server may do with one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from orchestrator.clients.transport import connections as under_test
from orchestrator.clients.transport.connections import KEEPALIVE_SECONDS, Connections
from orchestrator.clients.transport.http_connection import (
    READ_BYTES,
    UNWAITED_BYTES,
    ConnectionLost,
    NoConnection,
    Origin,
    trusted,
)
from orchestrator.clients.transport.http_head import NotHttp
from tests.store.redis.test_tls import make_certificate
from tests.support.callback_receiver import open_receiver
from tests.support.scripted_server import Asked, Handler, reply, serve

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def connections_to(handler: Handler) -> AsyncIterator[Connections]:
    async with serve(handler) as url:
        opened = Connections(Origin("http", "127.0.0.1", int(url.rpartition(":")[2])))
        yield opened
        opened.close()


async def ask(connections: Connections, request: bytes = REQUEST) -> bytes:
    exchange = await connections.send(request)
    body = b""
    try:
        while part := await exchange.connection.receive():
            body += part
    finally:
        exchange.end()
    return body


def answering(*answers: bytes, seen: list[trio.SocketStream]) -> Handler:
    left = list(answers)

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        seen.append(stream)
        await stream.send_all(left.pop(0))

    return handler


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (OK, True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", False),
        (OK + b"more than was asked for", False),
    ],
)
async def test_a_connection_is_used_again_where_its_answer_has_ended(first: bytes, again: bool) -> None:
    seen: list[trio.SocketStream] = []
    async with connections_to(answering(first, OK, seen=seen)) as connections:
        await ask(connections)
        assert await ask(connections) == b"{}"
    assert (seen[0] is seen[1]) is again


async def test_an_answer_that_is_left_in_its_middle_costs_its_connection() -> None:
    seen: list[trio.SocketStream] = []
    async with connections_to(
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", OK, seen=seen)
    ) as connections:
        exchange = await connections.send(REQUEST)
        assert await exchange.connection.receive() == b"{"
        exchange.end()
        assert await ask(connections) == b"{}"
    assert seen[0] is not seen[1]


async def test_what_a_server_closes_or_says_unasked_is_not_used_again() -> None:
    for unasked in (b"", OK):
        seen: list[trio.SocketStream] = []
        async with connections_to(answering(OK, OK, seen=seen)) as connections:
            await ask(connections)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await (seen[0].send_all(unasked) if unasked else seen[0].aclose())
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert await ask(connections) == b"{}"
        assert seen[0] is not seen[1]


async def test_an_old_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[trio.SocketStream] = []
    async with connections_to(answering(OK, OK, seen=seen)) as connections:
        await ask(connections)
        now = trio.current_time()
        monkeypatch.setattr(trio, "current_time", lambda: now + KEEPALIVE_SECONDS + 1)
        assert await ask(connections) == b"{}"
    assert seen[0] is not seen[1]


async def test_a_body_goes_on_where_a_cancelled_read_has_left_it() -> None:
    release = trio.Event()

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab")
        await release.wait()
        await stream.send_all(b"cd\r\n0\r\n\r\n")

    async with connections_to(handler) as connections:
        exchange = await connections.send(REQUEST)
        assert await exchange.connection.receive() == b"ab"
        with trio.move_on_after(0.01) as scope:
            await exchange.connection.receive()
        assert scope.cancelled_caught
        release.set()
        assert await exchange.connection.receive() == b"cd"
        assert await exchange.connection.receive() is None
        assert exchange.connection.reusable
        exchange.end()


async def test_a_server_that_sends_faster_than_it_is_read_leaves_others_their_turn() -> None:
    size = 20 * UNWAITED_BYTES

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await stream.send_all(bytes(size))

    read_between_turns = [0]

    async def take_turns() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            read_between_turns.append(0)

    async with connections_to(handler) as connections, trio.open_nursery() as nursery:
        exchange = await connections.send(REQUEST)
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(take_turns)
        while part := await exchange.connection.receive():
            read_between_turns[-1] += len(part)
        exchange.end()
        nursery.cancel_scope.cancel()
    assert sum(read_between_turns) == size
    assert max(read_between_turns) <= UNWAITED_BYTES + 2 * READ_BYTES


async def test_an_answer_is_read_although_the_request_was_not() -> None:
    """A server may refuse a large body before it has read it, and close."""

    async def early(stream: trio.SocketStream) -> None:
        await stream.receive_some(100)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, early, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        connections = Connections(Origin("http", "127.0.0.1", port))
        exchange = await connections.send(b"POST / HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4_000_000)
        assert (exchange.head.status, await exchange.connection.receive()) == (413, b"no")
        exchange.end()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\nA: b", "within its head"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "another protocol"),
    ],
)
async def test_an_answer_without_a_whole_head_is_none(answer: bytes, words: str) -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(answer)
        await stream.aclose()

    async with connections_to(handler) as connections:
        with pytest.raises(NotHttp, match=words):
            await connections.send(REQUEST)


async def test_a_reset_is_a_lost_connection() -> None:
    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        await stream.aclose()

    async with connections_to(handler) as connections:
        with pytest.raises(ConnectionLost):
            await connections.send(REQUEST)


async def test_over_tls_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, serving = make_certificate(tmp_path)
    async with open_receiver(serving) as receiver:
        origin = Origin("https", "localhost", receiver.port, "127.0.0.1")
        with pytest.raises(NoConnection, match="certificate"):
            await Connections(origin).send(REQUEST)
        trusted().load_verify_locations(str(certificate))
        try:
            connections = Connections(origin)
            post = b"POST /hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
            await ask(connections, post)
            connections.close()
        finally:
            trusted.cache_clear()
        assert len(receiver.deliveries) == 1


async def test_requests_are_bounded_and_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "MAX_CONNECTIONS", 2)
    release, asked = trio.Event(), 0

    async def handler(_: Asked, stream: trio.SocketStream) -> None:
        nonlocal asked
        asked += 1
        await release.wait()
        await reply(stream, {})

    async with connections_to(handler) as connections, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, connections)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert asked == 2
        release.set()
    assert asked == 3
