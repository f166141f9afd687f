"""What is kept of agents and tools, and when it is asked for again."""

import trio

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
    assert [asked.target for asked in platform.asked] == ["/api/v1/tools?agent_id=echo"]


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
