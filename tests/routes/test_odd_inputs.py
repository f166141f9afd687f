"""Odd inputs from everywhere: requests, frames, entries of queues, records and messages on channels.

    ODD_INPUTS=1000000 ODD_SECONDS=3600 pytest tests/routes/test_odd_inputs.py

tries so many instead of a few thousand, or as many as that time allows. None of them gets a 5xx, ends the process or
holds its loop; who sends nothing odd is served on. Inputs come in rounds, each with a number that makes the same ones
again.
"""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from time import thread_time
from typing import Any, Final

import httpx
import pytest
import trio
from attrs import define, field, fields_dict
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, wrap_client_stream

from orchestrator.errors import TenantDamaged
from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role
from orchestrator.models.tasks.task import Lane
from orchestrator.routes import ROUTES
from orchestrator.routes.http.registry import Access, Route
from orchestrator.store.keys import Keys
from orchestrator.store.redis.connection import Redis, open_redis
from orchestrator.websocket.handlers import HANDLERS
from tests.end_to_end.stack import SECRET, Node, Stack, open_stack
from tests.support.http import loopback_client

COUNT: Final = int(os.environ.get("ODD_INPUTS", "2000"))
SECONDS: Final = float(os.environ.get("ODD_SECONDS", "inf"))
SHARES: Final = {"requests": 40, "frames": 60, "entries": 40, "records": 20, "messages": 40}
"""How many of each kind there are in a round."""
BAD: Final = "bad"
"""The tenant whose inputs are odd."""
GOOD: Final = "good"
"""The tenant that is served on."""
QUIET: Final = {"ORCH_LOG_LEVEL": "error", "ORCH_RATE_USER": "1000000", "ORCH_RATE_ADDRESS": "1000000"}
ADMIN_KEY: Final = "admin-key"
KEYS: Final = Keys()
CHANNELS: Final = (
    KEYS.wake_channel, KEYS.cancel_channel, KEYS.revocation_channel, KEYS.answer_channel, KEYS.notification_channel,
    KEYS.catalog_channel,
)  # fmt: skip
SCORES: Final = (0, 1, -1, 10**13, 2**60, float("inf"), float("-inf"))
TASKS: Final = ("chat.message", "tool.execute", "workflow.execute", "batch.item", "x", "")
LOOPS: Final = 1_000_000
UNITS: Final = 5
"""A loop of `LOOPS` rounds takes 20 ms on the machine that the bound of 100 ms is meant for."""
ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 2**63, 2**70, -(2**70), 1e308, "", "\x00", "\ud800", "é" * 300, "a" * 5000, "*", "../..",
    "%00", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", [], {}, [[]], [{}],
    {"": None}, [None] * 500,
)  # fmt: skip
ODD_BYTES: Final = (
    b"", b"\x00", b"\xff\xfe", b"{", b"[", b"null", b"{}", b"[]", b"-1", b"1e400", b'"\\ud800"', b"x" * 70_000,
)  # fmt: skip


def value(random: Random, depth: int = 0) -> Any:
    """An odd value."""
    match random.randrange(8) if depth < 4 else 0:
        case 6:
            return [value(random, depth + 1) for _ in range(random.randrange(4))]
        case 7:
            return {str(value(random, 9))[:20]: value(random, depth + 1) for _ in range(random.randrange(4))}
        case _:
            return random.choice(ODD)


def encoded(random: Random, data: Any) -> bytes:
    """JSON as any writer might make it, with lone surrogates and numbers of any size; now and then torn."""
    text = json.dumps(data, ensure_ascii=True).encode()
    return text[: random.randrange(len(text) + 1)] if not random.randrange(10) else text


def body_of(random: Random, route: Route) -> bytes:
    """A body for a route: its fields with odd values, or with good ones, and others."""
    names = ["content"] if route.body is None or route.body is dict else [*fields_dict(route.body)]
    data = {name: value(random) for name in names if random.randrange(4)}
    data |= {"session_id": "s1", "content": "hi"} if random.randrange(2) else {str(value(random, 9))[:9]: 1}
    odd: Any = {"data": data} if random.randrange(2) else data
    if not random.randrange(5):
        odd = value(random)
    return random.choice(ODD_BYTES) if not random.randrange(10) else encoded(random, odd)


@define(eq=False)
class Inputs:
    """Sends odd inputs to a process, and notes what it says."""

    node: Node
    redis: Redis
    client: httpx.AsyncClient
    session_id: str
    worn: tuple[str, str] = (BAD, "x")
    """A tenant whose records are damaged, and a session of it."""
    sent: Counter[str] = field(factory=Counter)
    statuses: Counter[int] = field(factory=Counter)
    faults: list[str] = field(factory=list)

    async def round(self, number: int) -> None:
        """Send a round of all kinds side by side."""
        ways = (self.requests, self.frames, self.entries, self.records, self.messages)
        async with trio.open_nursery() as nursery:
            for way in ways:
                kind = way.__name__
                nursery.start_soon(way, Random(f"{kind} {number}"), SHARES[kind])
                self.sent[kind] += SHARES[kind]

    async def requests(self, random: Random, count: int) -> None:
        """Send requests to any route."""
        busy = trio.CapacityLimiter(8)
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                # The session that sockets follow stays open.
                route = random.choice([route for route in ROUTES if route.name != "session.close"])
                path = route.path.partition("{")
                tenant, session_id = random.choice((self.worn, (BAD, self.session_id)))
                name = random.choice((session_id, session_id, tenant, "x", "%00", "..", "a" * 300)) if path[1] else ""
                query = random.choice(
                    ("", "", "?limit=1", "?limit=-1", f"?limit={'9' * 30}", "?cursor=x&limit=x", "?x=%ff")
                )
                nursery.start_soon(self.request, tenant, route, path[0] + name + query, body_of(random, route), busy)

    async def request(self, tenant: str, route: Route, path: str, body: bytes, busy: trio.CapacityLimiter) -> None:
        """Send a request; one that is to wait for long is left."""
        token = create_token(SECRET, tenant, "ann", Role.OPERATOR)
        headers = {"Content-Type": "application/json", "X-Tenant-ID": tenant, "Authorization": f"Bearer {token}"}
        if route.access is not Access.BEARER:
            headers["X-API-Key"] = ADMIN_KEY
            del headers["Authorization"]
        async with busy:
            # A connection that was kept may be closed by the service just as it is used again.
            with trio.move_on_after(2), suppress(httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                answer = await self.client.request(route.method, self.node.url + path, content=body, headers=headers)
                self.statuses[answer.status_code] += 1
                if answer.status_code >= 500:
                    self.faults.append(f"{route.method} {path} {body[:200]!r}: {answer.status_code} {answer.text}")

    async def frames(self, random: Random, count: int) -> None:
        """Send frames over sockets, each of which is closed sooner or later."""
        host, port = self.node.url.removeprefix("http://").split(":")
        token = create_token(SECRET, BAD, "ann").encode()
        while count > 0:
            async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as nursery:
                path, headers = f"/ws/v1/chat/{self.session_id}", [(b"Authorization", b"Bearer " + token)]
                try:
                    ws = await wrap_client_stream(nursery, stream, host, path, extra_headers=headers)
                    nursery.start_soon(self.drain, ws)
                    while count > 0:
                        count -= 1
                        await ws.send_message(self.frame(random))
                except (HandshakeError, ConnectionClosed, OSError, trio.BrokenResourceError):
                    count -= 1
                nursery.cancel_scope.cancel()

    def frame(self, random: Random) -> bytes | str:
        """Return a frame for some handler, with some of it odd."""
        domain, _, action = random.choice([*HANDLERS]).partition(".")
        frame: Any = {"type": {"domain": domain, "action": action}, "data": {}}
        for name in ("content", "message_id", "result", "input", "last_offset", "token", "client_timestamp", "task_id"):
            if random.randrange(2):
                frame["data"][name] = value(random)
        if not random.randrange(4):
            frame[random.choice(("type", "data", "message_id", "correlation_id", "tenant_id"))] = value(random)
        raw = encoded(random, frame)
        return random.choice(ODD_BYTES[:-1]) if not random.randrange(10) else raw.decode()

    async def drain(self, ws: WebSocketConnection) -> None:
        """Read what comes; the service never says that it has failed."""
        try:
            while True:
                if "ORCH_SYS_001" in (told := str(await ws.get_message())):
                    self.faults.append(told)
        except ConnectionClosed as closed:
            if closed.reason is not None and closed.reason.code == 1011:
                self.faults.append("a socket was closed with 1011")

    async def entries(self, random: Random, count: int) -> None:
        """Put entries into the lanes of a tenant."""
        for _ in range(count):
            payload = {name: value(random) for name in ("session_id", "content", "agent_id", "tool_id", "plan")}
            message = {"task_id": value(random), "type": random.choice(TASKS), "payload": payload}
            message |= {"tenant_id": BAD, "message_id": "m1", "user_id": "ann", "schema_version": "1.1"}
            raw = random.choice(ODD_BYTES) if not random.randrange(4) else encoded(random, message)
            name = random.choice(("message", "message", "message", "x", b"\xff"))
            await self.redis.xadd(KEYS.lane(BAD, random.choice([*Lane])), {name: raw})
        await self.redis.execute_command("ZADD", KEYS.ready, 0, BAD)

    async def records(self, random: Random, count: int) -> None:
        """Let a tenant do something, and change fields of its records and lists meanwhile."""
        tenant = f"worn-{random.randrange(10**9)}"
        session_id = await create(self.client, self.node, tenant)
        self.worn = (tenant, session_id)
        headers = {"Authorization": f"Bearer {create_token(SECRET, tenant, 'ann')}"}
        for name, body in (
            ("chat.message", {"session_id": session_id, "content": "echo 20 words every 10 ms"}),
            ("chat.message", {"session_id": session_id, "content": "hi"}),
            ("batch.create", {"agent_id": "echo", "items": [{"content": "hi"}] * 3}),
            ("schedule.create", {"cron": "* * * * *", "agent_id": "echo", "content": "hi"}),
        ):
            answer = await self.client.post(f"{self.node.url}/api/v1/{name}", json=body, headers=headers)
            assert answer.status_code in {201, 202}, answer.text
        keys = [key async for key in self.redis.scan_iter(f"orchestrator:*:{tenant}*", 500)]
        for _ in range(count):
            key = random.choice(keys)
            with suppress(TenantDamaged):
                match await self.redis.type(key):
                    case b"hash":
                        name = random.choice((await self.redis.hkeys(key)) or [b"x"])
                        await self.redis.hset(key, name, random.choice(ODD_BYTES))
                    case b"list":
                        await self.redis.rpush(key, random.choice(ODD_BYTES))
                    case b"zset":
                        await self.redis.zadd(key, {random.choice(ODD_BYTES): random.choice(SCORES)})
                    case b"string":
                        await self.redis.set(key, random.choice(ODD_BYTES), keepttl=True)

    async def messages(self, random: Random, count: int) -> None:
        """Publish on channels."""
        channels = (*CHANNELS, KEYS.event_channel(BAD, self.session_id))
        for _ in range(count):
            raw = random.choice(ODD_BYTES) if random.randrange(2) else encoded(random, value(random))
            await self.redis.publish(random.choice(channels), raw)


async def create(client: httpx.AsyncClient, node: Node, tenant: str) -> str:
    """Create a session of a tenant."""
    headers = {"Authorization": f"Bearer {create_token(SECRET, tenant, 'ann')}"}
    answer = await client.post(f"{node.url}/api/v1/session.create", json={"agent_id": "echo"}, headers=headers)
    assert answer.status_code == 201, answer.text
    session_id: str = answer.json()["data"]["session_id"]
    return session_id


async def is_served(client: httpx.AsyncClient, node: Node, session_id: str) -> None:
    """Look that a tenant who sends nothing odd is answered."""
    headers = {"Authorization": f"Bearer {create_token(SECRET, GOOD, 'ann')}"}
    body = {"session_id": session_id, "content": "hello", "mode": "wait", "timeout_ms": 20_000}
    headers["Idempotency-Key"] = new_id()
    with trio.fail_after(30):
        answer = await client.post(f"{node.url}/api/v1/chat.message", json=body, headers=headers)
        while answer.status_code == 202:
            answer = await client.post(f"{node.url}/api/v1/chat.message", json=body, headers=headers)
    assert (answer.status_code, answer.json()["data"]["content"]) == (200, "hello"), answer.text


@pytest.fixture
def allowed() -> float:
    """How long a task may hold the loop, in seconds of the processor."""

    def loop() -> float:
        began = thread_time()
        for _ in range(LOOPS):
            pass
        return thread_time() - began

    return max(0.1, UNITS * max(loop() for _ in range(3)))


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with open_stack(tmp_path) as stack:
        yield stack


async def test_nothing_odd_is_a_fault_of_the_service_or_holds_its_loop(
    stack: Stack, tmp_path: Path, allowed: float
) -> None:
    holds = tmp_path / "holds"
    keys = f"operator:admin:{sha256(ADMIN_KEY.encode()).hexdigest()}"
    environ = {**stack.environ, "HOLDS": str(holds), "ORCH_API_KEYS": keys, **QUIET}
    node = await Node.start(environ, module="tests.support.measured_service")
    stack.nodes.append(node)
    async with loopback_client(timeout=30) as client, open_redis(stack.redis.url) as redis:
        inputs = Inputs(node, redis, client, await create(client, node, BAD))
        good = await create(client, node, GOOD)
        await is_served(client, node, good)
        holds.write_text("", encoding="utf-8")
        deadline = trio.current_time() + SECONDS
        for number in range(max(1, COUNT // sum(SHARES.values()))):
            if trio.current_time() > deadline:
                break
            await inputs.round(number)
            assert inputs.faults == [], f"in round {number}"
            assert node.process.poll() is None, f"in round {number}"
            await is_served(client, node, good)
        lines = holds.read_text(encoding="utf-8").splitlines()
        found = sorted(((float(line.split()[0]), line.split(maxsplit=1)[1]) for line in lines), reverse=True)
        print(f"{inputs.sent.total()} inputs: {dict(inputs.sent)}, {dict(inputs.statuses)}, longest holds {found[:5]}")  # noqa: T201 - the figure that the test is for
        assert not found or found[0][0] <= allowed, found[:10]
