"""Requests as RFC 9112 has them, and as it forbids them."""

from collections.abc import MutableMapping
from typing import Any

import pytest
import trio

from orchestrator import server
from tests.server.stage import Stage, open_stage, request
from tests.support.eventually import eventually

Logs = list[MutableMapping[str, Any]]
HOST = "Host: x\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
WRONG = {
    "no request line": b"nonsense\r\n\r\n",
    "bytes of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "a method that is none": b"G@T /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target with a blank": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is no path": b"GET echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target that is a query": b"GET ?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of another scheme": b"GET ftp://x/echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "an asterisk": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.0": b"GET /echo HTTP/3.0\r\nHost: x\r\n\r\n",
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "the same host twice": b"GET /echo HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
    "a host that is none": b"GET /echo HTTP/1.1\r\nHost: x/y z\r\n\r\n",
    "a header without a colon": b"GET /echo HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "a blank before the colon": b"GET /echo HTTP/1.1\r\nHost : x\r\n\r\n",
    "a NUL in a header": b"GET /echo HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
    "a length that is no number": POST + b"Content-Length: five\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +1\r\n\r\nx",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "the same length twice": POST + b"Content-Length: 1\r\ncontent-length: 1\r\n\r\nx",
    "the same length twice in a line": POST + b"Content-Length: 1, 1\r\n\r\nx",
    "a length and chunks": POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "chunks twice in a line": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk that is none": b"POST /late HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk of another size": b"POST /late HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
}


@pytest.mark.parametrize("sent", WRONG.values(), ids=WRONG)
async def test_a_malformed_request_is_refused_and_the_connection_closed(stage: Stage, sent: bytes, logs: Logs) -> None:
    async with await stage.open(sent) as client:
        head = (await client.head()).lower()
        assert head.startswith(b"http/1.1 400 ")
        assert b"connection: close" in head
        await client.rest()
    await stage.until_idle()
    await stage.assert_serves()
    assert logs == [], "what a client does wrong is no event of the service"


async def test_a_refusal_says_why(stage: Stage) -> None:
    async with await stage.open(b"POST /echo HTTP/1.1\r\nHost: x\r\nAuthorization secret\r\n\r\n") as client:
        _, body = await client.answer()
        assert body == b"The request is malformed: illegal header line."


async def test_a_proxy_is_not_what_it_is(stage: Stage) -> None:
    async with await stage.open(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert (await client.answer())[0] == 405


async def test_a_head_of_many_lines_is_refused(stage: Stage) -> None:
    async with await stage.open(request("/echo", more="X-A: b\r\n" * 126)) as client:
        assert (await client.answer())[0] == 200
        await client.send(request("/echo", more="X-A: b\r\n" * 127))
        assert (await client.answer())[0] == 431
        await client.rest()


@pytest.mark.parametrize("more", ["X-A: " + "b" * 70_000, "X-A: b\r\n" * 10_000])
async def test_a_head_that_never_ends_is_refused(stage: Stage, more: str) -> None:
    async with await stage.open() as client:
        await client.send(request("/echo", more=more)[:-4])
        assert (await client.answer())[0] == 431
        await client.rest()
    await stage.until_idle()


async def test_a_head_that_comes_slowly_is_given_up() -> None:
    async with open_stage(server.Limits(head_seconds=0.2)) as stage, await stage.open() as client:
        sent = request("/echo")
        with trio.move_on_after(5):
            for at in range(len(sent)):
                await client.send(sent[at : at + 1])
                await trio.sleep(0.05)
        assert (await client.answer())[0] == 408
        await client.rest()


async def test_a_client_that_says_nothing_is_closed() -> None:
    async with open_stage(server.Limits(head_seconds=0.1)) as stage, await stage.open() as client:
        assert await client.rest() == b""


async def test_a_client_that_says_nothing_more_is_closed() -> None:
    async with open_stage(config={"keep_alive_timeout": 0.1}) as stage, await stage.open(request("/echo")) as client:
        assert (await client.answer())[0] == 200
        assert await client.rest() == b""


async def test_a_request_may_come_byte_by_byte(stage: Stage) -> None:
    async with await stage.open() as client:
        sent = request("/echo", method="POST", body="slowly") + request("/echo")
        for at in range(len(sent)):
            await client.send(sent[at : at + 1])
        assert await client.answer() == (200, b"POST slowly")
        assert await client.answer() == (200, b"GET ")


async def test_empty_lines_before_a_request_are_passed_over(stage: Stage) -> None:
    async with await stage.open(b"\r\n\r\n" + request("/echo")) as client:
        assert await client.answer() == (200, b"GET ")
        await client.send(b"\r")
        await client.send(b"\n" + request("/echo"))
        assert await client.answer() == (200, b"GET ")
        await client.send(request("/echo", method="POST", body="one") + b"\r\n" + request("/echo"))
        assert [await client.answer(), await client.answer()] == [(200, b"POST one"), (200, b"GET ")]


async def test_requests_that_come_at_once_are_answered_in_turn(stage: Stage) -> None:
    sent = [request("/echo", method="POST", body=str(number)) for number in range(50)]
    async with await stage.open(b"".join(sent)) as client:
        assert [await client.answer() for _ in sent] == [(200, b"POST %d" % number) for number in range(50)]


async def test_a_request_behind_another_waits_for_its_answer(stage: Stage) -> None:
    async with await stage.open(request("/late")) as client:
        await client.send(request("/echo"))
        await client.send(request("/echo")[:10])
        stage.app.decide.set()
        assert await client.answer() == (200, b"late")
        await client.send(request("/echo")[10:])
        assert [await client.answer(), await client.answer()] == [(200, b"GET ")] * 2


async def test_very_many_requests_behind_another_wait_in_the_network(stage: Stage) -> None:
    count = 5000
    async with await stage.open(request("/late")) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, request("/echo") * count)
        await trio.testing.wait_all_tasks_blocked(0.05)
        stage.app.decide.set()
        assert await client.answer() == (200, b"late")
        # An answer may close the connection after a thousand.
        assert await client.answer() == (200, b"GET ")
        nursery.cancel_scope.cancel()


async def test_a_connection_is_closed_after_a_thousand_requests() -> None:
    async with open_stage(config={"keep_alive_max_requests": 2}) as stage, await stage.open(request("/echo")) as client:
        assert b"connection: close" not in (await client.head()).lower()
        await client.take(4)
        await client.send(request("/echo"))
        assert b"connection: close" in (await client.head()).lower()
        await client.take(4)
        assert await client.rest() == b""


async def test_a_client_that_closes_after_one_request_is_answered_first(stage: Stage) -> None:
    async with await stage.open(request("/echo", "close", "POST", body="one") + b"\r\n") as client:
        head = await client.head()
        assert b"connection: close" in head.lower()
        assert await client.rest() == b"POST one"


async def test_http_1_0_is_answered_and_closed(stage: Stage) -> None:
    async with await stage.open(b"GET /echo HTTP/1.0\r\n\r\n") as client:
        assert (await client.answer()) == (200, b"GET ")
        assert await client.rest() == b""


async def test_a_target_may_be_a_url(stage: Stage) -> None:
    sent = request("http://other:80/echo?a=b") + request("HTTP://other/echo")
    async with await stage.open(sent) as client:
        assert [await client.answer(), await client.answer()] == [(200, b"GET ")] * 2
    assert [scope["query_string"] for scope in stage.app.seen] == [b"a=b", b""]


async def test_a_head_alone_is_answered_to_head(stage: Stage) -> None:
    async with await stage.open(request("/echo", method="HEAD") + request("/echo")) as client:
        assert b"content-length: 5" in (await client.head()).lower()
        assert await client.answer() == (200, b"GET ")


async def test_a_refusal_of_head_has_no_body(stage: Stage) -> None:
    async with await stage.open(b"HEAD echo HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert (await client.head()).startswith(b"HTTP/1.1 400")
        assert await client.rest() == b""


async def test_a_body_is_asked_for_where_the_client_waits(stage: Stage) -> None:
    head = f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 4\r\nExpect: 100-continue\r\n\r\n".encode()
    async with await stage.open(head) as client:
        assert (await client.head()).startswith(b"HTTP/1.1 100 ")
        await client.send(b"body")
        assert await client.answer() == (200, b"POST body")
        await client.send(head + b"body")
        assert await client.answer() == (200, b"POST body"), "a client that does not wait needs no word"


async def test_a_body_that_is_refused_is_not_waited_for(stage: Stage) -> None:
    head = f"POST /early HTTP/1.1\r\n{HOST}Content-Length: 1000000000\r\n\r\n".encode()
    async with await stage.open(head) as client:
        assert await client.answer() == (413, b"too large")
        await client.send(bytes(1_000_000))
        await client.rest()
    await stage.until_idle()


async def test_a_refusal_arrives_although_the_client_still_sends(stage: Stage) -> None:
    head = f"POST /early HTTP/1.1\r\n{HOST}Content-Length: 20000000\r\n\r\n".encode()
    async with await stage.open(head) as client:
        await client.send(bytes(10_000_000))
        assert await client.answer() == (413, b"too large")


async def test_a_body_may_come_in_chunks_of_a_byte(stage: Stage) -> None:
    head = f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n".encode()
    body = b"x" * 3000
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in body) + b"0\r\nTrailer: x\r\n\r\n"
    async with await stage.open(head + chunks + request("/echo")) as client:
        assert await client.answer() == (200, b"POST " + body)
        assert await client.answer() == (200, b"GET ")


async def test_an_answer_of_unknown_length_comes_in_chunks_and_its_head_at_once(stage: Stage) -> None:
    async with await stage.open(request("/stream")) as client:
        assert b"transfer-encoding: chunked" in (await client.head()).lower()
        assert await client.take(10) == b"5\r\nfirst\r\n"
        stage.app.decide.set()
        assert await client.take(14) == b"4\r\nlast\r\n0\r\n\r\n"


async def test_an_answer_that_is_whole_comes_in_one_piece(stage: Stage) -> None:
    async with await stage.open(request("/echo", method="POST", body="one")) as client:
        await client.more()
        assert bytes(client.received).endswith(b"\r\n\r\nPOST one")


async def test_no_answer_names_the_server(stage: Stage) -> None:
    for sent in (request("/echo"), b"nonsense\r\n\r\n"):
        async with await stage.open(sent) as client:
            assert b"\r\nserver:" not in (await client.head()).lower()


async def test_an_upgrade_to_http_2_is_passed_over(stage: Stage) -> None:
    more = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    async with await stage.open(request("/echo", "Upgrade, HTTP2-Settings", more=more)) as client:
        assert await client.answer() == (200, b"GET ")
        await client.send(request("/echo", method="POST", more=more, body="more"))
        assert await client.answer() == (200, b"POST more")


async def test_an_application_that_fails_is_logged_once(stage: Stage, logs: Logs) -> None:
    async with await stage.open(request("/crash")) as client:
        assert (await client.answer())[0] == 500
        await client.rest()
    async with await stage.open(request("/crash-midway")) as client:
        assert (await client.rest()).endswith(b"5\r\nfirst\r\n"), "the answer is cut, and so is seen to be"
    async with await stage.open(request("/wrong")) as client:
        assert (await client.answer())[0] == 500
    await stage.until_idle()
    assert [entry["event"] for entry in logs] == ["application.failed"] * 3
    await stage.assert_serves()


async def test_an_application_is_given_at_once_what_has_come_of_a_body(stage: Stage) -> None:
    async with await stage.open(request("/arrived", method="POST", body="whole")) as client:
        assert await client.answer() == (200, b"now whole, later ")
        whole = request("/arrived", method="POST", body="pieces")
        await client.send(whole[:-6])
        await eventually("the application runs", lambda: stage.app.running)
        await client.send(b"pieces")
        assert await client.answer() == (200, b"now , later pieces")
        await client.send(request("/arrived"))
        assert await client.answer() == (200, b"now , later ")
