"""The API behind the real server: what only shows on a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest
import trio

from orchestrator import server
from orchestrator.middleware.errors import refusal_body
from tests.server.stage import handshake
from tests.support.credentials import bearer
from tests.support.eventually import PATIENCE, eventually
from tests.support.house import House
from tests.support.http import loopback_client

CREATE = "/api/v1/session.create"


@asynccontextmanager
async def serving(house: House) -> AsyncIterator[str]:
    config = server.ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    stop = trio.Event()
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[list[str]]) -> None:
            await server.serve(
                house.app, config, shutdown_trigger=stop.wait, refusal_body=refusal_body, task_status=task_status
            )

        [url] = await nursery.start(serve)
        with trio.fail_after(10):
            yield url
        stop.set()


def head(length: str) -> bytes:
    lines = [f"POST {CREATE} HTTP/1.1", "Host: x", "Content-Type: application/json", length]
    lines += [f"{name}: {value}" for name, value in bearer().items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def read_answer(stream: trio.SocketStream) -> tuple[bytes, bytes]:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += await stream.receive_some()
    top, _, body = raw.partition(b"\r\n\r\n")
    [length] = [int(line.split(b":")[1]) for line in top.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < length:
        body += await stream.receive_some()
    return top, body


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[trio.SocketStream]:
    parts = httpx.URL(url)
    async with await trio.open_tcp_stream(parts.host, parts.port or 80) as stream:
        yield stream


async def test_what_the_server_refuses_by_itself_is_an_envelope_too() -> None:
    async with serving(House()) as url, connected(url) as stream:
        await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
        top, body = await read_answer(stream)
        assert top.startswith(b"HTTP/1.1 400")
        assert b"content-type: application/json" in top.lower()
        answer = orjson.loads(body)
        assert answer["data"] is None
        assert answer["status"] == {"code": 400, "message": "Bad Request"}
        assert answer["error"]["code"] == "ORCH_VAL_001"
        assert answer["error"]["message"] == "The request is malformed: Found multiple Host."


REFUSALS = {404: "NOTF_001", 405: "VAL_003", 408: "VAL_001", 426: "VAL_003", 429: "RATE_003", 431: "VAL_005"}


@pytest.mark.parametrize(("status", "code"), REFUSALS.items())
def test_each_refusal_of_the_server_has_its_code(status: int, code: str) -> None:
    media_type, body = refusal_body(status, "No.")
    assert media_type == b"application/json"
    answer = orjson.loads(body)
    assert answer["status"]["code"] == status
    assert (answer["error"]["code"], answer["error"]["message"]) == (f"ORCH_{code}", "No.")


async def test_a_websocket_to_an_unknown_path_is_not_found() -> None:
    async with serving(House()) as url, connected(url) as stream:
        await stream.send_all(handshake("/ws/v1/nowhere"))
        top, body = await read_answer(stream)
        assert top.startswith(b"HTTP/1.1 404")
        assert orjson.loads(body)["error"]["code"] == "ORCH_NOTF_001"


WRONG_TARGETS = [
    *("", "?a=b", "*", "//", "//x", "//health/live", "/%ff%00", "http://x//", "http://x//health/live"),
    *("http://[x/", "http://", "http:///", "http://x:y/", "http://u@x/"),
]


@pytest.mark.parametrize("target", WRONG_TARGETS)
async def test_no_target_is_a_fault_of_the_service(target: str) -> None:
    async with serving(House()) as url, connected(url) as stream:
        await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        top, _ = await read_answer(stream)
        assert top[9:12] in {b"400", b"404"}


@pytest.mark.parametrize("target", ["/", "http://x", "http://x:80/", "http://[::1]", "HTTPS://x?a=b"])
async def test_a_url_without_a_path_names_the_page_that_leads_on(target: str) -> None:
    async with serving(House()) as url, connected(url) as stream:
        await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        top, body = await read_answer(stream)
        assert (top[9:12], orjson.loads(body)["docs"]) == (b"200", "/docs")


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes() -> None:
    async with serving(House()) as url, connected(url) as stream:
        await stream.send_all(head("Content-Length: 1000000000"))
        top, body = await read_answer(stream)
        assert top.startswith(b"HTTP/1.1 413")
        assert orjson.loads(body)["error"]["code"] == "ORCH_VAL_005"


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large() -> None:
    async with serving(House()) as url, connected(url) as stream:
        await stream.send_all(head("Transfer-Encoding: chunked"))
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"

        async def send() -> None:
            try:
                for _ in range(1000):
                    await stream.send_all(chunk)
            except trio.BrokenResourceError:
                return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            top, body = await read_answer(stream)
            nursery.cancel_scope.cancel()
        assert top.startswith(b"HTTP/1.1 413")
        assert orjson.loads(body)["error"]["type"] == "payload_too_large"


async def test_a_body_within_the_limit_may_come_in_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"agent_id":'
        yield b' "docs-guide"}'

    async with serving(House()) as url, loopback_client(base_url=url, headers=bearer()) as client:
        response = await client.post(CREATE, content=pieces(), headers={"Content-Type": "application/json"})
        assert response.status_code == 201


async def test_a_body_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    house.app.config["BODY_TIMEOUT"] = 0.05
    async with serving(house) as url, connected(url) as stream:
        await stream.send_all(head("Content-Length: 100") + b"{")
        top, body = await read_answer(stream)
        assert top.startswith(b"HTTP/1.1 400")
        assert "in time" in orjson.loads(body)["error"]["message"]


async def test_a_connection_is_kept_for_the_next_request_also_after_an_error() -> None:
    async with serving(House()) as url, loopback_client(base_url=url, headers=bearer()) as client:
        for _ in range(3):
            assert (await client.post(CREATE, json={"agent_id": "docs-guide"})).status_code == 201
            assert (await client.post(CREATE, json={})).status_code == 400
            assert (await client.get("/api/v1/session.get/unknown")).status_code == 404
            assert (await client.get("/health/live")).json() == {"status": "ok"}


async def test_a_stream_comes_piece_by_piece_and_its_end_is_the_turns() -> None:
    house = House()
    session_id = await house.session()
    body = {"session_id": session_id, "content": "hi", "mode": "stream"}
    async with serving(house) as url, loopback_client(base_url=url, headers=bearer()) as client:
        headers = {"Idempotency-Key": "k1"}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_play, house, 1)
            async with client.stream("POST", "/api/v1/chat.message", json=body, headers=headers) as response:
                lines = response.aiter_lines()
                assert response.headers["content-type"] == "text/event-stream"
                assert await anext(lines) == "id: e1-1"
                house.log.play(house.chat.accepted["k1"])
                rest = [line async for line in lines]
        assert [line for line in rest if line.startswith("event")][-1] == "event: chat.completed"


async def test_a_client_that_hangs_up_ends_its_stream_on_the_server() -> None:
    house = House()
    session_id = await house.session()
    body = orjson.dumps({"session_id": session_id, "content": "hi", "mode": "stream"})
    async with serving(house) as url:
        async with connected(url) as stream:
            request = head(f"Content-Length: {len(body)}").replace(CREATE.encode(), b"/api/v1/chat.message")
            await stream.send_all(request + body)
            await _followers(house, 1)
        await _followers(house, 0)


async def _play(house: House, upto: int) -> None:
    await _followers(house, 1)
    house.log.play(house.chat.accepted["k1"], upto=upto)


async def _followers(house: House, count: int) -> None:
    await eventually(f"{count} follow", lambda: house.log.followers, lambda found: found == count)


async def test_an_idle_connection_does_not_hold_up_a_stop() -> None:
    house = House()
    config = server.ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    config.graceful_timeout = 60
    stop = trio.Event()
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[list[str]]) -> None:
            await server.serve(house.app, config, shutdown_trigger=stop.wait, task_status=task_status)
            nursery.cancel_scope.cancel()

        [url] = await nursery.start(serve)
        async with connected(url) as stream:
            await stream.send_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            await read_answer(stream)
            with trio.fail_after(PATIENCE):
                stop.set()
                assert await stream.receive_some() == b""
                await trio.sleep_forever()
