"""The light client: what it sends, how long it waits, and what it makes of bad answers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import trio

from cli.http import answer as answers
from cli.http.answer import Answer
from cli.http.client import HttpClient
from cli.http.connection import Deadline
from cli.http.errors import HttpError, HttpTimeout, InvalidRequest
from tests.support.eventually import eventually
from tests.support.scripted_server import Asked, Handler, serve

NO_HEADERS: Mapping[str, str] = {}
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Correlation-ID: c-1\r\n\r\n{}"


def saying(*answers: bytes, ends: bool = False) -> tuple[Handler, list[Asked]]:
    """Make a server that gives its answers in turn, and a list of what it was asked."""
    left, asked = list(answers), []

    async def handle(request: Asked, stream: trio.SocketStream) -> None:
        asked.append(request)
        await stream.send_all(left.pop(0))
        if ends:
            await stream.aclose()

    return handle, asked


async def ask(client: HttpClient, method: str = "GET", path: str = "/", **parts: Any) -> Answer:
    return await trio.to_thread.run_sync(partial(client.request, method, path, **parts))


async def ask_once(url: str, headers: Mapping[str, str] = NO_HEADERS, timeout: float = 5, **parts: Any) -> Answer:
    with HttpClient(url, headers, timeout=timeout) as client:
        return await ask(client, **parts)


async def test_requests_share_a_connection_and_carry_query_and_body() -> None:
    handle, asked = saying(
        OK, b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    told: list[tuple[str, str]] = []
    ports: set[int] = set()

    async def counted(request: Asked, stream: trio.SocketStream) -> None:
        ports.add(stream.socket.getpeername()[1])
        await handle(request, stream)

    async with serve(counted) as url:
        client = HttpClient(f"{url}/base/", {"X-API-Key": "key"}, timeout=5, tell=lambda *one: told.append(one))
        first = await ask(client, path="/a b?x=é", query={"limit": "2", "text": "a&b"})
        second = await ask(client, "POST", "/c", body={"word": "é"})
        client.close()
    assert len(ports) == 1
    assert (first.status, first.json(), first.headers["x-correlation-id"]) == (200, {}, "c-1")
    assert (second.status, second.text) == (201, "abcde")
    assert asked[0].target == "/base/a%20b?x=%C3%A9&limit=2&text=a%26b"
    assert (asked[1].body, asked[1].headers["content-type"]) == ({"word": "é"}, "application/json")
    assert (asked[0].headers["x-api-key"], asked[0].headers["host"]) == ("key", url.removeprefix("http://"))
    assert told[1] == ("POST", f"{url}/base/c")


async def test_a_connection_that_the_service_has_closed_is_replaced() -> None:
    handle, asked = saying(OK, OK, ends=True)
    async with serve(handle) as url:
        client = HttpClient(url, timeout=5)
        assert (await ask(client)).is_success
        assert (await ask(client)).is_success
        client.close()
    assert len(asked) == 2


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    handle, asked = saying(b"HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n")
    async with serve(handle) as url:
        answer = await ask_once(url, {"Authorization": "Bearer token"})
    assert (answer.status, answer.headers["location"], len(asked)) == (302, "http://evil.test/", 1)


async def test_a_deadline_is_one_of_the_whole_request_however_lively_the_service_is() -> None:
    async def drips(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await stream.send_all(b".")
            await trio.sleep(0.02)

    async with serve(drips) as url:
        with trio.fail_after(30), pytest.raises(HttpTimeout):
            await ask_once(url, timeout=0.2)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "can't be read"),
        (b"+PONG\r\n", "can't be read"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**17, "can't be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + b"x" * 64, "longer than"),
    ],
)
async def test_a_bad_answer_is_one_fault_that_says_what_is_bad(
    answer: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ANSWER_BYTES", 32)
    handle, _ = saying(answer, ends=True)
    async with serve(handle) as url:
        with pytest.raises(HttpError, match=reason):
            await ask_once(url)


async def test_a_refusal_before_the_end_of_a_long_body_is_read() -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some(10)
        await stream.send_all(b"HTTP/1.1 413 Too Long\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await stream.send_eof()
        with trio.move_on_after(5):
            while await stream.receive_some():
                pass

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        answer = await ask_once(url, method="POST", body={"text": "x" * 5_000_000})
        nursery.cancel_scope.cancel()
    assert answer.status == 413


async def test_where_nothing_listens_the_reason_is_told() -> None:
    with pytest.raises(HttpError, match="Connection refused"):
        await ask_once("http://127.0.0.1:9")
    with pytest.raises(HttpError):
        await ask_once("http://no-such-host.invalid")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:80", "ftp://host", "http://", "http://[::1", "http://host:port", "http://a b/"]
)
def test_a_url_that_is_none_is_refused_with_its_text(url: str) -> None:
    with pytest.raises(InvalidRequest, match="no valid URL"):
        HttpClient(url, timeout=5)


@pytest.mark.parametrize("token", ["line\nbreak", "naïve"])
def test_what_no_header_can_carry_is_refused_before_anything_is_sent(token: str) -> None:
    client = HttpClient("http://127.0.0.1:9", {"Authorization": token}, timeout=5)
    with pytest.raises(InvalidRequest, match="no request can carry"):
        client.request("GET", "/")


async def test_a_proxy_of_the_environment_is_asked_for_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, asked = saying(OK)
    async with serve(handle) as url:
        monkeypatch.setenv("http_proxy", url.replace("http://", "http://ada:secret@"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await ask_once("http://service.test:8080", path="/a")).is_success
    assert (asked[0].target, asked[0].headers["host"]) == ("http://service.test:8080/a", "service.test:8080")
    assert asked[0].headers["proxy-authorization"].startswith("Basic ")


async def test_a_proxy_that_opens_no_tunnel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, asked = saying(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    async with serve(handle) as url:
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(HttpError, match=f"the proxy {url} answered 403"):
            await ask_once("https://service.test")
    assert (asked[0].method, asked[0].target) == ("CONNECT", "service.test:443")


async def test_a_stream_comes_line_by_line_beside_other_requests() -> None:
    gone_on = trio.Event()

    async def handle(request: Asked, stream: trio.SocketStream) -> None:
        if request.target == "/other":
            await stream.send_all(OK)
            gone_on.set()
            return
        assert request.headers["last-event-id"] == "7"
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: \xc3\xa9\n\r\n")
        await gone_on.wait()
        await stream.send_all(b"4\r\n:\r\nx\r\n0\r\n\r\n")

    def follow(url: str) -> list[str]:
        with HttpClient(url, timeout=5) as client, client.stream("/lines", {"Last-Event-ID": "7"}, 5) as answer:
            lines = answer.lines()
            first = next(lines)
            assert client.request("GET", "/other").is_success
            return [first, *lines]

    async with serve(handle) as url:
        assert await trio.to_thread.run_sync(follow, url) == ["data: é", ":", "x"]


async def test_a_stream_that_is_silent_for_too_long_is_given_up() -> None:
    async def silent(_: Asked, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await trio.sleep_forever()

    def follow(url: str) -> None:
        with HttpClient(url, timeout=5) as client, client.stream("/", {}, 0.1) as answer:
            list(answer.lines())

    async with serve(silent) as url:
        with trio.fail_after(30), pytest.raises(HttpTimeout):
            await trio.to_thread.run_sync(follow, url)


async def test_a_slow_answer_is_told_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.http.connection.SLOW_SECONDS", 0.05)
    told: list[str] = []

    async def handle(_: Asked, stream: trio.SocketStream) -> None:
        await eventually("it is told", lambda: told, len)
        await stream.send_all(OK)

    async with serve(handle) as url:
        with HttpClient(url, timeout=20, slow=lambda: told.append("slow")) as client:
            assert ((await ask(client)).status, told) == (200, ["slow"])


def test_an_answer_that_has_begun_is_not_slow_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [0.0], list[str]()
    monkeypatch.setattr("cli.http.connection.time.monotonic", lambda: now[0])
    silent, begun = (Deadline(10, lambda: told.append("slow")) for _ in range(2))
    begun.heard()
    waits = silent.waits()
    assert (next(waits), list(begun.waits()), told) == (2.0, [10.0], [])
    now[0] = 3.0
    assert (next(waits), list(begun.waits()), told) == (7.0, [7.0], ["slow"])
    assert (list(silent.waits()), told) == ([7.0], ["slow"])
