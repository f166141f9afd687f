"""One process of the service on loopback, over a real Redis and the sandbox, which calls it back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import orjson
import trio
from attrs import evolve, frozen
from hypercorn.config import Config
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from orchestrator.config.settings import AgentOrchestratorSettings, ServiceSettings
from orchestrator.main import serve
from orchestrator.middleware.tokens import create_token
from orchestrator.sandbox.platform import Sandbox, run_sandbox
from tests.support.credentials import INTERNAL_KEY, SECRET, SETTINGS
from tests.support.documented import documented
from tests.support.eventually import PATIENCE, eventually
from tests.support.http import loopback_client


@frozen
class Answered:
    """An answer of the service."""

    status: int
    headers: httpx.Headers
    json: Any
    text: str

    @property
    def data(self) -> Any:
        """What was asked for."""
        return self.json["data"]

    @property
    def fault(self) -> tuple[int, str]:
        """The status and the error's code."""
        return self.status, self.json["error"]["code"]

    @property
    def paths(self) -> list[str]:
        """Where the faults are."""
        return [detail["path"] for detail in self.json["error"]["details"]]


@frozen
class House:
    """The service, and what its tests need of the world around it."""

    http: httpx.AsyncClient
    sandbox: Sandbox
    url: str

    async def call(self, method: str, route: str, body: Any = None, user: str = "ann", **headers: str) -> Answered:
        """Ask a public route."""
        sent = {"Authorization": f"Bearer {create_token(SECRET, 'acme', user)}", **headers}
        answer = await self.http.request(method, f"{self.url}/api/v1/{route}", json=body, headers=sent)
        is_json = answer.headers["content-type"].startswith("application/json")
        return Answered(answer.status_code, answer.headers, answer.json() if is_json else None, answer.text)

    async def internal(self, route: str, body: Any, token: str | None = None, tenant: str = "acme") -> Answered:
        """Ask an internal route, as the Workflow Engine does."""
        headers = {"X-API-Key": INTERNAL_KEY, "X-Tenant-ID": tenant}
        if token is not None:
            headers["X-Callback-Token"] = token
        answer = await self.http.post(f"{self.url}/internal/v1/{route}", json=body, headers=headers)
        return Answered(answer.status_code, answer.headers, answer.json(), answer.text)

    async def start(self, workflow_id: str, given: Any = None, **fields: Any) -> str:
        """Start a workflow of the engine; returns its task."""
        body = {"workflow_id": workflow_id, "input": given or {}, **fields}
        answer = await self.call("POST", "workflow.execute", body)
        assert answer.status == 202, answer.text
        task_id: str = answer.data["task_id"]
        return task_id

    async def status(self, task_id: str) -> Any:
        """Return how a workflow stands."""
        return (await self.call("GET", f"workflow.status/{task_id}")).data

    async def until(self, task_id: str, *statuses: str) -> Any:
        """Wait until a workflow stands so, as clients do that only ask."""
        return await eventually(
            f"the workflow is {' or '.join(statuses)}",
            lambda: self.status(task_id),
            lambda now: now is not None and now["status"] in statuses,
        )

    async def batch(self, batch_id: str) -> Any:
        """Return how a batch stands."""
        return (await self.call("GET", f"batch.get/{batch_id}")).data

    async def results(self, task_id: str) -> Any:
        """Return what a workflow has given."""
        return (await self.call("GET", f"workflow.results/{task_id}")).data

    @asynccontextmanager
    async def socket(self, path: str, user: str | None = "ann") -> AsyncIterator["Client"]:
        """Open a socket; without a user the path has the credentials."""
        token = "" if user is None else f"Bearer {create_token(SECRET, 'acme', user)}"
        host, _, port = self.url.removeprefix("http://").partition(":")
        headers = [(b"Authorization", token.encode())] if token else []
        # The stream is ours, so it is closed however the socket ends.
        async with await trio.open_tcp_stream(host, int(port)) as stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(nursery, stream, f"{host}:{port}", path, extra_headers=headers)
            async with socket:
                yield Client(socket)


@frozen
class Client:
    """A client's end of a socket."""

    socket: WebSocketConnection

    async def frame(self) -> Any:
        """Return the next frame."""
        with trio.fail_after(PATIENCE):
            return documented(orjson.loads(await self.socket.get_message()))

    async def until(self, name: str, **fields: Any) -> Any:
        """Return the next frame of this type whose data have these fields."""
        while True:
            frame = await self.frame()
            found = f"{frame['type']['domain']}.{frame['type']['action']}" == name
            if found and fields.items() <= frame["data"].items():
                return frame

    async def say(self, name: str, data: Any) -> None:
        """Send a frame."""
        domain, _, action = name.partition(".")
        await self.socket.send_message(
            orjson.dumps({"type": {"domain": domain, "action": action}, "data": data}).decode()
        )

    async def close_code(self) -> int:
        """Read to the end; returns the code that the server closed with."""
        with trio.fail_after(PATIENCE):
            try:
                while True:
                    documented(orjson.loads(await self.socket.get_message()))
            except ConnectionClosed as closed:
                return int(closed.reason.code) if closed.reason is not None else 1006


@asynccontextmanager
async def open_house(redis_url: str, *, patience: float = 2, **settings: Any) -> AsyncIterator[House]:
    """Run the service and the sandbox inside the block; the service waits `patience` seconds for others."""
    async with run_sandbox(internal_api_key=INTERNAL_KEY) as sandbox, loopback_client(timeout=30) as http:
        urls: Any = {name: ServiceSettings(url=url, timeout=patience) for name, url in sandbox.urls.items()}
        chosen: AgentOrchestratorSettings = evolve(
            SETTINGS,
            redis_url=redis_url,
            max_body_bytes=2**20,
            drain_timeout=1,
            **{"services": urls, "task_retries": 0, **settings},
        )
        config, stop = Config(), trio.Event()
        config.bind, config.accesslog, config.errorlog = ["127.0.0.1:0"], None, None
        async with trio.open_nursery() as nursery:
            binds: list[str] = await nursery.start(partial(serve, chosen, config, watch_signals=False, stop=stop))
            sandbox.connect(binds[0], INTERNAL_KEY)
            yield House(http, sandbox, binds[0])
            stop.set()
