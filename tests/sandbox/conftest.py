"""A sandbox in the test's own process, and a client that speaks to it as the orchestrator does."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import trio
from attrs import frozen

from orchestrator.sandbox.platform import Sandbox, run_sandbox
from orchestrator.sandbox.serving.http_server import listen
from tests.sandbox.orchestrator import FakeOrchestrator
from tests.support.http import loopback_client

DRAINING = """# Tenants

A tenant is a customer of the platform.

## Drain a tenant

Run `nooble-orch tenants drain TENANT`. New work is refused, and what is queued is finished first.

## Pause a tenant

Run `nooble-orch tenants pause TENANT`. Nothing new starts, and intake goes on.
"""
SESSIONS = """# Sessions

A session is the live side of a conversation.

```sh
# this is no heading
nooble-orch sessions list
```
"""


@frozen
class Client:
    """Calls the services of a sandbox for one tenant."""

    http: httpx.AsyncClient
    urls: dict[str, str]
    tenant_id: str = "acme"

    async def ask(
        self,
        method: str,
        service: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request with the tenant's header."""
        return await self.http.request(
            method,
            self.urls[service] + path,
            content=None if body is None else orjson.dumps(body),
            headers={"X-Tenant-ID": self.tenant_id, **(headers or {})},
            timeout=10,
        )

    async def get(self, service: str, path: str) -> Any:
        """Read, and return the payload."""
        response = await self.ask("GET", service, path)
        assert response.status_code == 200, response.text
        return response.json()["payload"]

    async def post(self, service: str, path: str, payload: dict[str, Any], **message: Any) -> Any:
        """Send a message, and return the payload of the answer."""
        response = await self.ask("POST", service, path, {"payload": payload, **message})
        assert response.status_code in {200, 201, 202}, response.text
        return response.json()["payload"]

    async def execute(self, agent_id: str, query: str, task_id: str = "task-1", **fields: Any) -> list[dict[str, Any]]:
        """Have an agent answer, and return the messages of its stream."""
        body = {"task_id": task_id, "payload": {"query": query, "stream": True, **fields}}
        return lines(await self.ask("POST", "agent_execution", f"/api/v1/agents/{agent_id}/execute", body))

    async def tool_result(self, task_id: str, tool_call_id: str, **fields: Any) -> list[dict[str, Any]]:
        """Hand an agent a tool's result, and return the messages that follow."""
        body = {"payload": {"tool_call_id": tool_call_id, "stream": True, **fields}}
        return lines(await self.ask("POST", "agent_execution", f"/api/v1/tasks/{task_id}/tool_result", body))


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    """Read the messages of a stream."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in response.content.splitlines()]


def actions(messages: list[dict[str, Any]]) -> list[str]:
    """Return what the messages are, with equal neighbours once."""
    names: list[str] = [message["type"]["action"] for message in messages]
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


@pytest.fixture(scope="session")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small documentation."""
    folder: Path = tmp_path_factory.mktemp("written") / "docs"
    folder.mkdir()
    (folder / "tenants.md").write_text(DRAINING)
    (folder / "sessions.md").write_text(SESSIONS)
    return folder


@pytest.fixture(autouse=True)
def _without_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def sandbox(docs: Path) -> AsyncIterator[Sandbox]:
    """All services, in memory."""
    async with run_sandbox(docs=docs) as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    """A client of the tenant acme."""
    async with loopback_client() as http:
        yield Client(http, sandbox.urls)


@pytest.fixture
def globex(client: Client) -> Client:
    """A client of the tenant globex."""
    return Client(client.http, client.urls, "globex")


@pytest.fixture
async def orchestrator(client: Client, sandbox: Sandbox, nursery: trio.Nursery) -> FakeOrchestrator:
    """An orchestrator that the sandbox knows."""
    fake = FakeOrchestrator(client.http, client.urls)
    listener = await listen(0)
    nursery.start_soon(listener.serve, fake.handle)
    sandbox.connect(f"http://127.0.0.1:{listener.port}", "internal-key")
    return fake
