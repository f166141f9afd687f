"""The opening handshake (RFC 6455, section 4), and what comes in its place."""

from typing import Any

import pytest

from tests.server.stage import TEXT, Stage, frame, handshake, open_stage, request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FINE: dict[str, dict[str, Any]] = {
    "as it should be": {},
    "names in other letters": {"upgrade": "WebSocket", "connection": "UPGRADE"},
    "among other tokens": {"connection": "keep-alive, Upgrade", "upgrade": "h2c, websocket"},
    "in several lines": {"connection": ["keep-alive", "Upgrade"], "upgrade": ["h2c", "websocket"]},
    "with an extension": {"sec_websocket_extensions": "permessage-deflate; client_max_window_bits"},
    "with extensions in several lines": {"sec_websocket_extensions": ["permessage-deflate", "x-other"]},
    "with an empty body": {"content_length": "0"},
    "with an origin": {"origin": "https://app.example"},
    "with strange headers": {"x_strange": "\xe9\xe8", "cookie": "a=b"},
}
WRONG: dict[str, tuple[dict[str, Any], int]] = {
    "without a key": ({"sec_websocket_key": None}, 400),
    "with an empty key": ({"sec_websocket_key": ""}, 400),
    "with a short key": ({"sec_websocket_key": "c2hvcnQ="}, 400),
    "with a long key": ({"sec_websocket_key": "A" * 44}, 400),
    "with a key that is no base64": ({"sec_websocket_key": "!" * 24}, 400),
    "with a key beyond ASCII": ({"sec_websocket_key": "\xe9" * 24}, 400),
    "with two keys": ({"sec_websocket_key": [KEY, KEY]}, 400),
    "without a version": ({"sec_websocket_version": None}, 400),
    "with two versions": ({"sec_websocket_version": ["13", "8"]}, 400),
    "with an old version": ({"sec_websocket_version": "8"}, 426),
    "with a version that is none": ({"sec_websocket_version": "thirteen"}, 426),
    "without a host": ({"host": None}, 400),
    "with two hosts": ({"host": ["x", "y"]}, 400),
    "with a body": ({"content_length": "5"}, 400),
    "with a body in chunks": ({"transfer_encoding": "chunked"}, 400),
    "with a protocol beyond ASCII": ({"sec_websocket_protocol": "\xe9"}, 400),
    "with extensions beyond ASCII": ({"sec_websocket_extensions": "\xe9"}, 400),
}


@pytest.mark.parametrize("changed", FINE.values(), ids=FINE)
async def test_a_handshake_is_accepted(stage: Stage, changed: dict[str, Any]) -> None:
    async with await stage.open(handshake("/echo", **changed)) as client:
        head = (await client.head()).decode().lower()
        assert head.startswith("http/1.1 101 ")
        assert "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head
        assert "upgrade: websocket" in head
        assert "connection: upgrade" in head
        assert "sec-websocket-extensions" not in head, "compression is never agreed on"
        await client.send(frame(TEXT, b"hello"))
        assert await client.frame() == (TEXT, b"hello")


@pytest.mark.parametrize(("changed", "status"), WRONG.values(), ids=WRONG)
async def test_a_wrong_handshake_is_refused_and_the_connection_closed(
    stage: Stage, changed: dict[str, Any], status: int
) -> None:
    async with await stage.open(handshake("/echo", **changed)) as client:
        head = (await client.head()).lower()
        assert head.startswith(b"http/1.1 %d " % status)
        assert b"connection: close" in head
        if status == 426:
            assert b"sec-websocket-version: 13" in head
        await client.rest()
    await stage.until_idle()
    assert not stage.app.seen, "the application never hears of it"
    await stage.assert_serves()


async def test_an_old_version_of_http_is_refused(stage: Stage) -> None:
    async with await stage.open(handshake().replace(b"HTTP/1.1", b"HTTP/1.0")) as client:
        assert (await client.answer())[0] == 400
        await client.rest()


@pytest.mark.parametrize("changed", [{"upgrade": None}, {"connection": "keep-alive"}, {"upgrade": "h2c"}])
async def test_what_asks_for_no_websocket_is_a_plain_request(stage: Stage, changed: dict[str, Any]) -> None:
    async with await stage.open(handshake("/echo", **changed)) as client:
        assert await client.answer() == (200, b"GET ")
        await client.send(request("/echo"))
        assert await client.answer() == (200, b"GET ")


async def test_only_a_get_opens_a_websocket(stage: Stage) -> None:
    async with await stage.open(handshake().replace(b"GET", b"POST")) as client:
        assert await client.answer() == (200, b"POST ")


async def test_the_lines_of_a_list_of_subprotocols_count_together(stage: Stage) -> None:
    offered = ["nooble.v1", "bearer.x, other"]
    async with await stage.open(handshake(sec_websocket_protocol=offered)) as client:
        assert b"sec-websocket-protocol: nooble.v1" in await client.head()
    assert stage.app.seen[0]["subprotocols"] == ["nooble.v1", "bearer.x", "other"]


@pytest.mark.parametrize("path", ["/refuse", "/refuse-plainly"])
async def test_a_refused_socket_is_closed(stage: Stage, path: str) -> None:
    stage.app.decide.set()
    async with await stage.open(handshake(path)) as client:
        status, body = await client.answer()
        assert (status, body) in {(401, b"no"), (403, b"")}
        assert await client.rest() == b""
    await stage.until_idle()


async def test_a_refused_socket_is_closed_although_its_client_stays(stage: Stage) -> None:
    stage.app.decide.set()
    async with await stage.open(handshake("/refuse")):
        await stage.until_idle()


async def test_a_frame_that_comes_before_the_answer_is_taken_after_it(stage: Stage) -> None:
    async with await stage.open(handshake("/echo-late") + frame(TEXT, b"early")[:3]) as client:
        await client.send(frame(TEXT, b"early")[3:])
        stage.app.decide.set()
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert await client.frame() == (TEXT, b"early")


async def test_many_frames_that_come_before_the_answer_wait_in_the_network(stage: Stage) -> None:
    many = frame(TEXT, b"x" * 1000, mask=bytes(4)) * 200
    async with await stage.open(handshake("/echo-late")) as client:
        await client.send(many)
        stage.app.decide.set()
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        assert {await client.frame() for _ in range(200)} == {(TEXT, b"x" * 1000)}


async def test_an_application_that_fails_is_a_500_and_the_connection_closed(stage: Stage) -> None:
    stage.app.decide.set()
    async with await stage.open(handshake("/crash")) as client:
        assert (await client.answer())[0] == 500
        await client.rest()
    await stage.until_idle()
    await stage.assert_serves()


async def test_a_server_answers_for_its_names_alone() -> None:
    async with open_stage(config={"server_names": ["api.example"]}) as stage:
        for sent, status in ((handshake(), 404), (request("/echo"), 404), (handshake(host="api.example"), 101)):
            async with await stage.open(sent) as client:
                assert (await client.head()).startswith(b"HTTP/1.1 %d " % status)
