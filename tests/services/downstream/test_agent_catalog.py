"""What is kept of agents and tools, and when it is asked for again."""

from types import SimpleNamespace
from typing import Any

import trio
from trio.testing import MockClock

from orchestrator.errors import ServiceUnreachable
from orchestrator.models.common.call import CallContext
from orchestrator.services.downstream.agent_catalog import FRESH_SECONDS, PAUSE_SECONDS, AgentCatalog
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from tests.services.platform import Platform, catalog_on
from tests.support.calls import call_context
from tests.support.scripted_server import Asked, reply


async def test_a_version_is_kept_beside_the_latest() -> None:
    platform = Platform()
    async with catalog_on(platform) as catalog:
        for version in (None, "1", None, "1"):
            agent = await catalog.agent(call_context(), "echo", version)
            assert agent.version == (version or "3")
    assert len(platform.asked) == 2


async def test_a_changed_agent_is_asked_for_again_and_no_other() -> None:
    platform = Platform()
    async with catalog_on(platform) as catalog:
        for agent_id in ("echo", "other"):
            await catalog.agent(call_context(), agent_id)
            await catalog.tools(call_context(), agent_id)
        platform.agent_version = 4
        catalog.forget_agent("globex", "echo")
        assert (await catalog.agent(call_context(), "echo")).version == "3"
        catalog.forget_agent("acme", "echo")
        assert (await catalog.agent(call_context(), "echo")).version == "4"
        assert (await catalog.agent(call_context(), "other")).version == "3"
        platform.asked.clear()
        await catalog.tools(call_context(), "echo")
        await catalog.tools(call_context(), "other")
    types = "rag%2Cexternal_api%2Csync%2Casync%2Cclient"
    assert [asked.target for asked in platform.asked] == [f"/api/v1/tools?types={types}&agent_id=echo"]


async def test_a_changed_tool_is_asked_for_again_with_the_lists_it_may_stand_in() -> None:
    platform = Platform()
    async with catalog_on(platform) as catalog:

        async def look() -> int:
            platform.asked.clear()
            await catalog.tool(call_context(), "calculator")
            for agent_id in ("echo", None):
                await catalog.tools(call_context(), agent_id)
            return len(platform.asked)

        assert await look() == 3
        assert await look() == 0
        catalog.forget_tools("acme", tool_id="calculator", agent_id=None)
        assert await look() == 3
        catalog.forget_tools("acme", tool_id="another", agent_id="echo")
        assert await look() == 2
        catalog.forget_all()
        assert await look() == 3


async def test_a_lookup_begun_before_an_invalidation_is_not_cached() -> None:
    platform = Platform()
    asked_for, goes_on = trio.Event(), trio.Event()

    async def slowly(asked: Asked, stream: trio.SocketStream) -> None:
        asked_for.set()
        await goes_on.wait()
        await reply(stream, {"payload": {"agent_id": "echo", "version": platform.agent_version, "name": "Echo"}})

    async with catalog_on(slowly) as catalog:
        versions: list[str] = []

        async def look() -> None:
            versions.append((await catalog.agent(call_context(), "echo")).version)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await asked_for.wait()
            catalog.forget_agent("acme", "echo")
            goes_on.set()
        platform.agent_version = 4
        await look()
    assert versions == ["3", "4"]


async def test_a_service_that_is_away_is_asked_again_only_after_a_pause(autojump_clock: MockClock) -> None:
    asked, away = 0, False

    async def list_tools(_: CallContext, __: str | None) -> list[dict[str, Any]]:
        nonlocal asked
        asked += 1
        if away:
            raise ServiceUnreachable("Away.")
        return [{"tool_id": "calculator"}]

    clients: Any = SimpleNamespace(tool_registry=SimpleNamespace(list=list_tools))
    catalog = AgentCatalog(clients, ServiceCoordinator())

    async def look() -> int:
        nonlocal asked
        asked = 0
        for _ in range(3):
            assert await catalog.tools(call_context(), "echo") == [{"tool_id": "calculator"}]
        return asked

    assert await look() == 1
    away = True
    await trio.sleep(FRESH_SECONDS)
    assert await look() == 1
    await trio.sleep(PAUSE_SECONDS)
    assert await look() == 1
    away = False
    await trio.sleep(PAUSE_SECONDS)
    assert await look() == 1
    await trio.sleep(PAUSE_SECONDS)
    assert await look() == 0
