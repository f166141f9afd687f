"""Bytes that no client would send: none of them is a fault of the server, and the others are served on.

    ODD_BYTES=100000 pytest tests/server/test_odd_bytes.py

tries so many instead of a few hundred. Each input has a number, which makes the same bytes again.
"""

import os
from collections.abc import MutableMapping
from random import Random
from typing import Any, Final

import trio

from tests.server.stage import BINARY, PING, TEXT, Stage, close_frame, frame, handshake, open_stage, request

COUNT: Final = int(os.environ.get("ODD_BYTES", "400"))
AT_ONCE: Final = 20
CHUNKS: Final = b"3\r\nabc\r\n5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"
CHUNKED: Final = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
REQUESTS: Final = (
    request("/echo"),
    request("/echo", method="POST", body="hello"),
    request("/echo?a=b", "close", "HEAD"),
    request("http://x/echo", more="Expect: 100-continue\r\n", method="POST", body="hello"),
    request("/early", method="POST", body="hello" * 100),
    CHUNKED,
    handshake("/echo", sec_websocket_protocol=["a", "b, c"]),
)
FRAMES: Final = (
    frame(TEXT, b"hello"),
    frame(TEXT, "κόσμε".encode(), fin=False) + frame(0, b"more"),
    frame(BINARY, bytes(range(256))),
    frame(PING, b"ping"),
    frame(TEXT, b"x" * 70_000, mask=bytes(4)),
    close_frame(1000, b"bye"),
)


def oddly(random: Random, data: bytes) -> bytes:
    """Change bytes here and there: other ones, more of them, fewer, the same twice."""
    odd = bytearray(data)
    for _ in range(random.randrange(4)):
        at = random.randrange(len(odd) + 1)
        match random.randrange(5):
            case 0 if at < len(odd):
                odd[at] = random.randrange(256)
            case 1 if at < len(odd):
                odd[at] ^= 1 << random.randrange(8)
            case 2:
                odd[at:at] = random.randbytes(random.randrange(1, 8))
            case 3:
                del odd[at : at + random.randrange(1, 40)]
            case _:
                odd[at:at] = odd[at : at + random.randrange(1, 80)]
    return bytes(odd)


async def try_one(stage: Stage, number: int) -> None:
    """Send odd bytes, in pieces, and leave in some way."""
    random = Random(number)
    if random.randrange(2):
        parts = [oddly(random, random.choice(REQUESTS)) for _ in range(random.randrange(1, 4))]
    else:
        parts = [handshake(), *(oddly(random, random.choice(FRAMES)) for _ in range(random.randrange(1, 5)))]
    sent = b"".join(parts)
    async with await stage.open() as client:
        while sent:
            size = random.choice((1, 7, 100, 100_000))
            await client.send(sent[:size])
            sent = sent[size:]
            if len(sent) < 200 or not random.randrange(10):
                await trio.lowlevel.checkpoint()
        if random.randrange(2):
            with trio.move_on_after(0.05):
                received = await client.rest()
                assert b"HTTP/1.1 5" not in received, number
        if random.randrange(2):
            client.reset()


async def test_no_bytes_are_a_fault_of_the_server(logs: list[MutableMapping[str, Any]]) -> None:
    async with open_stage(patience=60 + COUNT / 20) as stage:
        for first in range(0, COUNT, AT_ONCE):
            async with trio.open_nursery() as nursery:
                for number in range(first, first + AT_ONCE):
                    nursery.start_soon(try_one, stage, number)
            assert logs == [], f"between {first} and {first + AT_ONCE}"
            stage.opened.clear()
        await stage.assert_serves()
        await stage.until_idle()
