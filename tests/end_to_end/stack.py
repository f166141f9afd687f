"""The whole service in processes of its own, over a real Redis and the sandbox."""

import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import httpx
import orjson
import trio
from attrs import define, field, frozen
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection

from orchestrator.middleware.tokens import create_token
from orchestrator.models.common.principal import Role
from orchestrator.sandbox.platform import Sandbox, run_sandbox
from orchestrator.sandbox.redis.redis_server import RedisServer, run_redis
from tests.support.documented import documented
from tests.support.eventually import eventually
from tests.support.forked import ForkedProcess, open_forked
from tests.support.handshake import shake_hands
from tests.support.http import loopback_client

SECRET = "end-to-end-secret-end-to-end-secret"
INTERNAL_KEY = "internal-key"
START_SECONDS = 60
FOLLOW_SECONDS = 60


class DidNotStart(Exception):
    """A process ended while it started."""


@define(eq=False)
class Node:
    """A process of the service."""

    process: ForkedProcess | trio.Process
    url: str

    @classmethod
    async def start(
        cls,
        environ: Mapping[str, str],
        arguments: tuple[str, ...] = ("--bind", "127.0.0.1:0"),
        module: str = "orchestrator",
    ) -> Self:
        """Start one, as `python -m module`; returns when it is ready.

        Raises:
            DidNotStart: it ended.
        """
        process = await open_forked(module, *arguments, environ=environ)
        node = cls(process, "")
        try:
            node.url = (await node.first_line()).split()[1]
        except BaseException:
            with trio.CancelScope(shield=True):
                await node.kill()
            raise
        return node

    async def first_line(self) -> str:
        """Return what it says when it is ready."""
        assert self.process.stdout is not None
        line = b""
        with trio.fail_after(START_SECONDS):
            while not line.endswith(b"\n"):
                chunk = await self.process.stdout.receive_some()
                if not chunk:
                    raise DidNotStart("the service ended while it started")
                line += chunk
        return line.decode()

    async def kill(self) -> None:
        """Kill it, as by kill -9."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Stop it in order; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        with trio.fail_after(START_SECONDS):
            return await self.process.wait()


@define(eq=False)
class Follower:
    """A client that follows a session, and comes back whenever the socket is lost."""

    session_id: str
    token: str
    frames: list[dict[str, Any]] = field(factory=list)
    closes: list[int] = field(factory=list)
    _grown: trio.Event = field(factory=trio.Event)

    async def run(self, stack: "Stack") -> None:
        """Follow, for ever."""
        while True:
            last = self.frames[-1] if self.frames else None
            query = f"?last_offset={last['offset']}&epoch={last['epoch']}" if last else ""
            try:
                await self._connect(stack.node.url, f"/ws/v1/chat/{self.session_id}{query}")
            except* ConnectionClosed as group:
                closed = group.exceptions[0]
                assert isinstance(closed, ConnectionClosed)
                self.closes.append(closed.reason.code if closed.reason else 1006)
            except* (OSError, HandshakeError, trio.BrokenResourceError):
                pass  # the process is not there yet: come back
            await trio.sleep(0.1)

    async def _connect(self, base: str, resource: str) -> None:
        host, port = base.removeprefix("http://").split(":")
        # The stream is ours, so it is closed however the socket ends.
        async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as nursery:
            socket = await shake_hands(nursery, stream, host, resource, self.token)
            await self._listen(socket)

    async def _listen(self, socket: WebSocketConnection) -> None:
        first = True
        while True:
            frame = documented(orjson.loads(await socket.get_message()))
            if first:
                assert frame["type"] == {"domain": "session", "action": "state_update"}
                assert frame["data"]["recovered"]
                first = False
            elif frame["type"] != {"domain": "system", "action": "reconnect"}:
                self.frames.append(frame)
                self._grown.set()
                self._grown = trio.Event()

    def names(self) -> list[str]:
        """What happened."""
        return [f"{frame['type']['domain']}.{frame['type']['action']}" for frame in self.frames]

    def shown(self, message_id: str) -> str:
        """The text on a client's screen: chunks since the last reset."""
        text = ""
        for frame in self.frames:
            data = frame["data"]
            if data.get("parent_message_id") != message_id:
                continue
            if frame["type"]["action"] == "stream_reset":
                text = ""
            elif frame["type"]["action"] == "stream":
                text += data["chunk"]
        return text

    async def until(self, name: str, count: int = 1) -> None:
        """Wait until something has happened so often."""
        await eventually(
            f"{name} has come {count} times",
            self.names,
            lambda names: names.count(name) >= count,
            within=FOLLOW_SECONDS,
            changed=lambda: self._grown,
        )


@define(eq=False)
class Stack:
    """Redis, sandbox and processes of the service; `node` is the one that clients talk to."""

    redis: RedisServer
    sandbox: Sandbox
    environ: dict[str, str]
    nodes: list[Node] = field(factory=list)

    @property
    def node(self) -> Node:
        """The process that was started last."""
        return self.nodes[-1]

    def token(self, tenant: str = "acme", user: str = "ann", role: Role = Role.USER) -> str:
        """Make a token."""
        return create_token(SECRET, tenant, user, role)

    async def start(self, *arguments: str, **settings: str) -> Node:
        """Start a process of the service."""
        environ = {**self.environ, **{f"ORCH_{name.upper()}": value for name, value in settings.items()}}
        self.nodes.append(await Node.start(environ, arguments or ("--bind", "127.0.0.1:0")))
        self.sandbox.connect(self.node.url, INTERNAL_KEY)
        return self.node

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """Make a client of the newest process."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        return loopback_client(base_url=self.node.url, headers=headers, timeout=30)

    async def session(self, agent: str = "echo", token: str | None = None) -> str:
        """Create a session."""
        async with self.client(token) as client:
            answer = await client.post("/api/v1/session.create", json={"agent_id": agent})
        session_id: str = answer.json()["data"]["session_id"]
        return session_id

    async def say(self, session_id: str, content: str, **fields: Any) -> dict[str, Any]:
        """Send a message; returns the whole answer."""
        async with self.client() as client:
            body = {"session_id": session_id, "content": content, **fields}
            answer: dict[str, Any] = (await client.post("/api/v1/chat.message", json=body)).json()
        return answer

    async def history(self, session_id: str) -> list[tuple[str, str]]:
        """Return who said what."""
        async with self.client() as client:
            answer = await client.get(f"/api/v1/chat.history/{session_id}", params={"limit": 200})
        return [(item["role"], item["content"]) for item in answer.json()["data"]["items"]]


@frozen
class _Environ:
    redis_url: str
    urls: Mapping[str, str]
    transport: str

    def build(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ORCH_")},
            "ORCH_REDIS_URL": self.redis_url,
            "ORCH_JWT__SECRET": SECRET,
            "ORCH_API_KEYS": f"sandbox:internal:{sha256(INTERNAL_KEY.encode()).hexdigest()}",
            "ORCH_LOG_LEVEL": "warning",
            "ORCH_NODE_TIMEOUT": "1",
            "ORCH_DRAIN_TIMEOUT": "5",
            **dict(self._ways()),
        }

    def _ways(self) -> Iterator[tuple[str, str]]:
        """Say how each service is asked: only over HTTP it needs a URL."""
        for name, url in self.urls.items():
            yield f"ORCH_SERVICES__{name.upper()}__TRANSPORT", self.transport
            if self.transport == "http":
                yield f"ORCH_SERVICES__{name.upper()}__URL", url


@asynccontextmanager
async def open_stack(folder: Path, *, transport: str = "http") -> AsyncIterator[Stack]:
    """Open Redis and sandbox; processes of the service are started by the test, and killed at the end.

    Args:
        folder: for the data of Redis.
        transport: by which all services are asked, `http` or `queue`.
    """
    async with (
        run_redis(folder / "redis", fsync="always") as redis,
        run_sandbox(internal_api_key=INTERNAL_KEY, redis_url=redis.url if transport == "queue" else None) as sandbox,
    ):
        stack = Stack(redis, sandbox, _Environ(redis.url, sandbox.urls, transport).build())
        try:
            yield stack
        finally:
            with trio.CancelScope(shield=True):
                for node in stack.nodes:
                    await node.kill()
