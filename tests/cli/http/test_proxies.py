"""The way through a proxy: tunnels to services by TLS, for requests and for sockets, and proxies that open none."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from cli.core.sockets import open_socket
from cli.http.answer import Answer
from cli.http.client import HttpClient
from cli.http.errors import HttpError, HttpTimeout
from cli.http.tls import TlsFiles, tls_context
from tests.support.certificates import Authority
from tests.support.connect_proxy import ConnectProxy, connect_proxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Environ = Callable[[str], None]


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Environ:
    """Have the environment name a proxy."""

    def name(url: str) -> None:
        for variable in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("https_proxy", url)

    return name


@asynccontextmanager
async def secured(directory: Path) -> AsyncIterator[tuple[ConnectProxy, TlsFiles]]:
    """Serve `https://service.test` behind a proxy."""
    authority = Authority(directory)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign("service", hosts=["service.test"]))

    async def answer(stream: "trio.SSLStream[trio.SocketStream]") -> None:
        try:
            while await stream.receive_some():
                await stream.send_all(OK)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_ssl_over_tcp, answer, 0, context, host="127.0.0.1", https_compatible=True)
        [listener] = await nursery.start(serve)
        async with connect_proxy(listener.transport_listener.socket.getsockname()[1]) as proxy:
            yield proxy, TlsFiles(ca_cert=str(authority.file))
        nursery.cancel_scope.cancel()


async def ask(url: str, *, times: int = 1, timeout: float = 5, **more: Any) -> list[Answer]:
    def run() -> list[Answer]:
        with HttpClient(url, {"Authorization": "Bearer token"}, timeout=timeout, **more) as client:
            return [client.request("GET", "/a") for _ in range(times)]

    return await trio.to_thread.run_sync(run)


async def test_requests_by_tls_share_a_tunnel_and_the_proxy_sees_none_of_them(tmp_path: Path, through: Environ) -> None:
    async with secured(tmp_path) as (proxy, files):
        through(proxy.url.replace("http://", "http://ada:secret@"))
        answers = await ask("https://service.test", times=3, tls=files)
    assert [answer.json() for answer in answers] == [{}, {}, {}]
    [asked] = proxy.asked
    assert asked.startswith("CONNECT service.test:443 HTTP/1.1\r\n")
    assert "Basic YWRhOnNlY3JldA==" in asked
    assert "token" not in asked


async def test_behind_a_tunnel_the_certificate_is_looked_at(tmp_path: Path, through: Environ) -> None:
    async with secured(tmp_path) as (proxy, files):
        through(proxy.url)
        with pytest.raises(HttpError, match=r"other\.test"):
            await ask("https://other.test", tls=files)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "answered 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n", "answered 502"),
        (b"+PONG\r\n\r\n", "can't be read"),
        (b"", "without an answer"),
    ],
)
async def test_a_proxy_that_opens_no_tunnel_is_named_with_the_reason(
    through: Environ, answer: bytes, reason: str
) -> None:
    async with connect_proxy(9, answer=answer) as proxy:
        through(proxy.url)
        with pytest.raises(HttpError, match=f"the proxy {proxy.url}.*{reason}"):
            await ask("https://service.test")
        with pytest.raises(OSError, match=f"the proxy {proxy.url}.*{reason}"):
            async with open_socket("ws://service.test/a", None, [], within=5):
                pass


@pytest.mark.parametrize("url", ["http://service.test", "https://service.test"])
async def test_a_proxy_that_is_not_there_is_named(through: Environ, url: str) -> None:
    through("http://127.0.0.1:9")
    with pytest.raises(HttpError, match=r"the proxy http://127\.0\.0\.1:9: Connection refused"):
        await ask(url)


async def test_a_proxy_that_wants_other_credentials_is_named(through: Environ) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with connect_proxy(9, answer=refusal) as proxy:
        through(proxy.url)
        with pytest.raises(HttpError, match=f"the proxy {proxy.url} answered 407"):
            await ask("http://service.test")


async def test_a_proxy_that_hangs_is_given_up_in_time(through: Environ) -> None:
    async def hang(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            pass

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, hang, 0, host="127.0.0.1"))
        through(f"http://127.0.0.1:{listener.socket.getsockname()[1]}")
        with trio.fail_after(30):
            with pytest.raises(HttpTimeout):
                await ask("https://service.test", timeout=0.2)
            with pytest.raises(OSError, match="too long"):
                async with open_socket("wss://service.test/a", tls_context(TlsFiles()), [], within=0.2):
                    pass
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_socket_goes_through_a_tunnel(tmp_path: Path, through: Environ, scheme: str) -> None:
    authority = Authority(tmp_path)
    context = None
    if scheme == "wss":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.sign("service", hosts=["service.test"]))
    heads: list[tuple[str, dict[bytes, bytes]]] = []

    async def echo(request: WebSocketRequest) -> None:
        heads.append((request.path, dict(request.headers)))
        socket = await request.accept()
        try:
            await socket.send_message(await socket.get_message())
            await socket.get_message()
        except ConnectionClosed:
            return

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, echo, "127.0.0.1", 0, context)
        async with connect_proxy(server.listeners[0].port) as proxy:
            through(proxy.url)
            tls = tls_context(TlsFiles(ca_cert=str(authority.file))) if scheme == "wss" else None
            with trio.fail_after(10):
                headers = [(b"Authorization", b"Bearer token")]
                async with open_socket(f"{scheme}://service.test/ws?last_offset=3", tls, headers, within=5) as socket:
                    await socket.send_message("hello")
                    assert await socket.get_message() == "hello"
        nursery.cancel_scope.cancel()
    assert heads[0][0] == "/ws?last_offset=3"
    assert heads[0][1][b"authorization"] == b"Bearer token"
    assert proxy.asked[0].startswith(f"CONNECT service.test:{443 if scheme == 'wss' else 80} ")
