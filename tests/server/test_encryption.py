"""TLS: the same server, behind a certificate."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from orchestrator.server import Limits
from tests.server.stage import TEXT, Client, Stage, close_frame, frame, handshake, numbered, open_stage, request
from tests.store.redis.test_tls import make_certificate


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Stage]:
    make_certificate(tmp_path)
    files = {"certfile": tmp_path / "server.crt", "keyfile": tmp_path / "server.key"}
    async with open_stage(Limits(head_seconds=0.5), config=files) as stage:
        yield stage


async def encrypted(stage: Stage, tmp_path: Path) -> tuple[Client, trio.SSLStream[trio.SocketStream]]:
    client = await stage.open()
    assert isinstance(client.stream, trio.SocketStream)
    context = ssl.create_default_context(cafile=tmp_path / "server.crt")
    context.set_alpn_protocols(["h2", "http/1.1"])
    stream = trio.SSLStream(client.stream, context, server_hostname="localhost", https_compatible=True)
    client.stream = stream
    return client, stream


async def test_requests_and_sockets_are_served_in_http_1_1(secured: Stage, tmp_path: Path) -> None:
    assert secured.url.startswith("https://")
    client, stream = await encrypted(secured, tmp_path)
    await client.send(request("/echo", method="POST", body="x" * 200_000) + request("/echo"))
    assert stream.selected_alpn_protocol() == "http/1.1"
    assert [len((await client.answer())[1]), await client.answer()] == [200_005, (200, b"GET ")]
    assert secured.app.seen[0]["scheme"] == "https"
    await client.send(handshake())
    assert (await client.head()).startswith(b"HTTP/1.1 101 ")
    await client.send(frame(TEXT, b"hello"))
    assert await client.frame() == (TEXT, b"hello")
    await client.send(close_frame())
    await client.frame()
    assert await client.rest() == b""
    await stream.aclose()
    await secured.until_idle()


async def test_nothing_is_written_without_waiting(secured: Stage, tmp_path: Path) -> None:
    client, stream = await encrypted(secured, tmp_path)
    await client.send(handshake("/push-now"))
    await client.head()
    assert await client.frame() == (TEXT, *numbered(0))
    assert secured.app.sent_now == 0
    await stream.aclose()


async def test_a_client_that_speaks_no_tls_or_nothing_is_closed(secured: Stage) -> None:
    for sent in (request("/echo"), b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        async with await secured.open(sent) as client:
            await client.rest()
    await secured.until_idle()


async def test_a_client_that_leaves_within_the_handshake_is_forgotten(secured: Stage) -> None:
    for leave in (Client.reset, lambda client: client.stream.socket.close()):
        leave(await secured.open(b"\x16\x03\x01"))
    await secured.until_idle()
