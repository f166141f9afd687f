"""The whole service in the test's own process, over a real Redis and the services of the sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define, evolve

from orchestrator.config.defaults import DEFAULTS
from orchestrator.sandbox.platform import Sandbox, run_sandbox
from orchestrator.sandbox.serving.faults import InjectedFault, InjectedFaultKind
from tests.support.house import Reply
from tests.support.served import Client, service


@define
class Stack:
    """A process of the service, and what it stands on."""

    client: Client
    sandbox: Sandbox

    def calls(self, service_name: str, operation: str) -> int:
        """How often an operation of a service was called."""
        return self.sandbox.calls[service_name, operation]

    def fault(self, kind: InjectedFaultKind, service_name: str, operation: str, **more: Any) -> None:
        """Ask the sandbox for a fault."""
        self.sandbox.faults.add(InjectedFault(kind, service_name, operation, **more))

    async def answer(self, session_id: str, content: str = "hello there", headers: dict[str, str] | None = None) -> Any:
        """Say something, and return what the task looks like when it has ended."""
        said = await self.client.call(
            "POST",
            "/api/v1/chat.message",
            {"session_id": session_id, "content": content, "mode": "wait", "timeout_ms": 10_000},
            headers,
        )
        assert said.status == 200, said.raw
        tasks = await self.client.call("GET", f"/api/v1/task.list?session_id={session_id}&limit=1", headers=headers)
        return tasks.data["items"][0]


@asynccontextmanager
async def stack(redis_url: str, docs: Path, **settings: Any) -> AsyncIterator[Stack]:
    """Run everything while the block runs."""
    (docs / "docs").mkdir(exist_ok=True)
    (docs / "docs" / "page.md").write_text("# Page\n\nThere is one page.\n")
    async with run_sandbox(docs=docs / "docs") as sandbox:
        services = {name: evolve(own, url=sandbox.urls[name]) for name, own in DEFAULTS.services.items()}
        async with service(redis_url, consuming=True, services=services, **settings) as client:
            yield Stack(client, sandbox)


def names(reply: Reply, field: str) -> list[str]:
    """The ids of a list's items."""
    return [item[field] for item in reply.data["items"]]
