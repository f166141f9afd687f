"""Every order of events on a connection: whatever it does, it ends alone, and the others are served on.

Bytes come early, late, cut in two, after a close; either side closes first, or both at once. Each order runs with all
events as close together as they can be, and one in three with the server at rest between any two of them;
`ORDERS_SHARE=1` runs all of them so.
"""

import os
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from itertools import islice, permutations
from typing import Any, Final

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.server.stage import PING, TEXT, Client, Stage, close_frame, frame, handshake, request

Order = tuple[str, ...]
SETTLED_SECONDS: Final = 0.0005
SHARE: Final = int(os.environ.get("ORDERS_SHARE", "3"))
"""One of so many orders is run with rests: they take most of the time."""
CRASHES: Final = {"/crash", "/crash-midway", "/wrong"}
SOCKETS: Final = (
    "/echo", "/echo-late", "/refuse", "/refuse-plainly", "/close", "/push", "/crash", "/crash-midway", "/deaf",
)  # fmt: skip
REQUESTS: Final = ("/echo", "/early", "/late", "/stream", "/large", "/crash", "/crash-midway", "/wrong")


def socket_orders() -> Iterator[Order]:
    """Orders of what may happen on a WebSocket."""
    for end in ("eof", "reset", "leave"):
        for events in permutations(("frame", "close", "decide", end)):
            yield ("head", *events)
        for events in permutations(("half", "rest", "decide", end)):
            if events.index("half") < events.index("rest"):
                yield ("head's half", "head's rest", *events)
    for events in permutations(("ping", "nonsense", "decide", "close", "frame")):
        yield ("head", *events)


def request_orders() -> Iterator[Order]:
    """Orders of what may happen while requests are answered."""
    sent = ("head's half", "head's rest", "body's half", "body's rest", "next")
    for end in ("eof", "reset", "leave"):
        for decided in range(len(sent) + 1):
            for ended in range(1, len(sent) + 2):
                events = [*sent[:decided], "decide", *sent[decided:]]
                yield (*events[:ended], end, *events[ended:])


def half(data: bytes) -> tuple[bytes, bytes]:
    return data[: len(data) // 2], data[len(data) // 2 :]


def socket_bytes(path: str) -> dict[str, bytes]:
    head, one = handshake(path), frame(TEXT, b"hello")
    return {
        "head": head,
        "head's half": half(head)[0],
        "head's rest": half(head)[1],
        "frame": one,
        "half": half(one)[0],
        "rest": half(one)[1],
        "close": close_frame(),
        "ping": frame(PING, b"ping"),
        "nonsense": b"\xff" * 20,
    }


def request_bytes(path: str) -> dict[str, bytes]:
    head, body, _ = request(path, method="POST", body="hello").partition(b"hello")
    return {
        "head's half": half(head)[0],
        "head's rest": half(head)[1],
        "body's half": half(body)[0],
        "body's rest": half(body)[1],
        "next": request("/echo"),
    }


async def play(stage: Stage, client: Client, order: Order, sent: dict[str, bytes], *, settled: bool) -> None:
    """Let events happen one after the other."""
    left = False
    for event in order:
        if event == "decide":
            stage.app.decide.set()
        elif left:
            continue
        elif event in sent:
            await client.send(sent[event])
        else:
            left = True
            await leave(client, event)
        if settled:
            await wait_all_tasks_blocked(SETTLED_SECONDS)


async def leave(client: Client, event: str) -> None:
    if event == "reset":
        client.reset()
    elif event == "leave":
        await client.stream.aclose()
    else:
        with suppress(trio.BrokenResourceError):
            await client.stream.send_eof()


@pytest.mark.parametrize("settled", [True, False], ids=["one by one", "at once"])
@pytest.mark.parametrize(
    ("kind", "path"), [*(("socket", path) for path in SOCKETS), *(("request", path) for path in REQUESTS)]
)
async def test_no_order_of_events_reaches_beyond_its_connection(
    stage: Stage, logs: list[MutableMapping[str, Any]], kind: str, path: str, *, settled: bool
) -> None:
    orders, sent = (
        (socket_orders(), socket_bytes(path)) if kind == "socket" else (request_orders(), request_bytes(path))
    )
    for number, order in enumerate(islice(orders, None, None, SHARE if settled else 1)):
        stage.app.decide = trio.Event()
        async with await stage.open() as client:
            await play(stage, client, order, sent, settled=settled)
        stage.app.decide.set()
        with trio.fail_after(30):
            await stage.until_idle()
        if not number % 8:
            await stage.assert_serves()
    assert {entry["event"] for entry in logs} <= ({"application.failed"} if path in CRASHES else set()), logs[-1]
