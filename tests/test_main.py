"""The service under a server of its own: what goes wrong is told by the protocol, for a server goes on otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from attrs import field, frozen

from orchestrator import main
from orchestrator.config.loading import SettingsFault
from orchestrator.config.settings import AgentOrchestratorSettings


async def told(load: Any) -> list[dict[str, Any]]:
    """Run a lifespan without an end, and return what the server was told."""
    said: list[dict[str, Any]] = []
    asked = iter([{"type": "lifespan.startup"}])

    async def receive() -> Any:
        message = next(asked, None)
        return message or await trio.sleep_forever()

    async def send(message: Any) -> None:
        said.append(message)

    with trio.fail_after(10):
        await main.Application(load)({"type": "lifespan"}, receive, send)  # type: ignore[arg-type] # enough of it
    return said


async def test_wrong_settings_fail_the_start() -> None:
    def load() -> AgentOrchestratorSettings:
        raise SettingsFault(["ORCH_LEASE: expected a number"], AgentOrchestratorSettings())

    message = "The service could not go on: ORCH_LEASE: expected a number"
    assert await told(load) == [{"type": "lifespan.startup.failed", "message": message}]


async def test_a_redis_that_is_away_fails_the_start() -> None:
    [said] = await told(lambda: AgentOrchestratorSettings(redis_url="redis://127.0.0.1:1", redis_connect_timeout=0.2))
    assert said["type"] == "lifespan.startup.failed"
    assert "The store is away" in said["message"]


@frozen
class _Dying:
    services: None = None
    stopping: trio.Event = field(factory=trio.Event)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        raise RuntimeError("the consumer died")


async def test_a_consumer_that_dies_ends_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def open_process(_: AgentOrchestratorSettings) -> AsyncIterator[_Dying]:
        yield _Dying()

    monkeypatch.setattr(main, "open_process", open_process)
    monkeypatch.setattr(main, "create_app", lambda _: object())
    assert await told(AgentOrchestratorSettings) == [
        {"type": "lifespan.startup.complete"},
        {"type": "lifespan.shutdown.failed", "message": "The service could not go on: the consumer died"},
    ]
