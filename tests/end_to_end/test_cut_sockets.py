"""Sockets that are cut at random while messages stream: each event comes once, in order, whichever process is reached.

The suite runs a small form. The whole one, 200 sockets that are cut 5 times each during 10,000 messages:

    CUT_SOCKETS=200 CUT_MESSAGES=50 CUT_TIMES=5 CUT_SECONDS=1500 pytest -n 0 tests/end_to_end/test_cut_sockets.py
"""

import os
import random
from functools import partial
from operator import le
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import trio
from attrs import define, field
from trio_websocket import ConnectionClosed, HandshakeError

from orchestrator.store.events.events import EventLog
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import open_redis
from tests.end_to_end.stack import Stack, open_stack
from tests.support.documented import documented
from tests.support.eventually import eventually
from tests.support.handshake import shake_hands

SOCKETS: Final = int(os.environ.get("CUT_SOCKETS", "12"))
MESSAGES: Final = int(os.environ.get("CUT_MESSAGES", "6"))
TIMES: Final = int(os.environ.get("CUT_TIMES", "3"))
AT_ONCE: Final = 12
"""Messages that are under way; the stand-ins of the services run in the test's own process."""
SECONDS: Final = float(os.environ.get("CUT_SECONDS", "120"))
SEED: Final = int(os.environ.get("CUT_SEED", "20260101"))
NO_LIMIT: Final = {"rate_tenant": "1000000", "rate_user": "1000000", "rate_address": "0", "log_level": "error"}


@define(eq=False)
class Reader:
    """A client of one session, which comes back by offset and epoch whenever its socket is gone."""

    session_id: str
    token: str
    seen: list[dict[str, Any]] = field(factory=list)
    """The events of the log, as they came."""
    begin: int = -1
    """The offset at which it began."""
    epoch: str = ""
    cuts: int = 0
    connected: trio.Event = field(factory=trio.Event)
    _socket: trio.CancelScope = field(factory=trio.CancelScope)

    async def run(self, stack: Stack) -> None:
        """Read, for ever."""
        while True:
            node = random.choice(stack.nodes)
            last = self.last_offset()
            query = f"?last_offset={last}&epoch={self.epoch}" if last >= 0 else ""
            with trio.CancelScope() as self._socket:
                try:
                    await self._read(node.url, f"/ws/v1/chat/{self.session_id}{query}")
                except* (ConnectionClosed, HandshakeError, OSError, trio.BrokenResourceError):
                    pass  # the server has closed it: come back as well
            await trio.sleep(random.uniform(0, 0.05))

    def last_offset(self) -> int:
        """Return the offset of the last event that came."""
        return int(self.seen[-1]["offset"]) if self.seen else self.begin

    def cut(self) -> None:
        """Drop the connection without a word, in the middle of whatever is under way."""
        self.cuts += 1
        self._socket.cancel()

    async def _read(self, base: str, resource: str) -> None:
        host, port = base.removeprefix("http://").split(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as nursery:
            socket = await shake_hands(nursery, stream, host, resource, self.token)
            greeting = orjson.loads(await socket.get_message())
            assert greeting["data"]["recovered"], greeting
            if self.begin < 0:
                self.begin, self.epoch = greeting["offset"], greeting["epoch"]
            assert greeting["epoch"] == self.epoch
            self.connected.set()
            while True:
                self.seen.append(documented(orjson.loads(await socket.get_message())))


async def converse(client: httpx.AsyncClient, session_ids: trio.MemoryReceiveChannel[str], done: list[int]) -> None:
    """Send a message to one session after the other, each when the one before is answered."""
    async for session_id in session_ids:
        body = {"session_id": session_id, "content": f"{done[0]} one two three", "mode": "wait", "timeout_ms": 60_000}
        answer = await client.post("/api/v1/chat.message", json=body)
        assert answer.status_code == 200, answer.text
        done[0] += 1


async def cut_at_random(readers: list[Reader], done: list[int]) -> None:
    """Cut every reader so many times, spread over the messages."""
    total = SOCKETS * MESSAGES
    by_session = {reader.session_id: reader for reader in readers}
    moments = sorted((random.uniform(0.02, 0.9) * total, session_id) for session_id in by_session for _ in range(TIMES))

    def answered() -> int:
        return done[0]

    for moment, session_id in moments:
        await eventually("more is said", answered, partial(le, moment), within=SECONDS)
        by_session[session_id].cut()


async def logged(redis_url: str, reader: Reader) -> list[tuple[int, str]]:
    """Return offset and id of every event in the log since the reader began."""
    async with open_redis(redis_url) as redis:
        events = await EventLog(redis, Keys()).read("acme", reader.session_id, after=reader.begin, limit=100_000)
    return [(event.offset, orjson.loads(event.body)["message_id"]) for event in events]


async def test_each_event_comes_once_and_in_order_however_often_sockets_are_cut(tmp_path: Path) -> None:
    random.seed(SEED)
    async with open_stack(tmp_path) as stack:
        for _ in range(2):
            await stack.start(**NO_LIMIT)
        token = stack.token()
        with trio.fail_after(SECONDS):
            async with stack.client(token) as client, trio.open_nursery() as nursery:
                client.timeout = httpx.Timeout(90)
                readers = [Reader(await stack.session(token=token), token) for _ in range(SOCKETS)]
                for reader in readers:
                    nursery.start_soon(reader.run, stack)
                for reader in readers:
                    await reader.connected.wait()
                done = [0]
                async with trio.open_nursery() as talking:
                    talking.start_soon(cut_at_random, readers, done)
                    sending, messages = trio.open_memory_channel[str](SOCKETS * MESSAGES)
                    for number in range(SOCKETS * MESSAGES):
                        sending.send_nowait(readers[number % SOCKETS].session_id)
                    sending.close()
                    for _ in range(AT_ONCE):
                        talking.start_soon(converse, client, messages, done)
                for reader in readers:
                    log = await logged(stack.redis.url, reader)
                    await eventually("the last event has come", reader.last_offset, partial(le, log[-1][0]))
                    assert [(frame["offset"], frame["message_id"]) for frame in reader.seen] == log
                    assert [offset for offset, _ in log] == [*range(reader.begin + 1, log[-1][0] + 1)]
                    names = [f"{frame['type']['domain']}.{frame['type']['action']}" for frame in reader.seen]
                    assert names.count("chat.completed") == MESSAGES
                    assert reader.cuts == TIMES
                nursery.cancel_scope.cancel()
