"""What stands in for services that are away."""

import pytest

from orchestrator.errors import NotFound, ServiceFault
from orchestrator.models.common.call import CallContext
from orchestrator.models.plans.orchestration import ONCE, ServiceCall
from orchestrator.services.downstream import agent_catalog
from orchestrator.services.downstream.fallbacks import or_none
from orchestrator.services.downstream.service_coordinator import ServiceCoordinator
from tests.services.platform import Platform, catalog_on
from tests.support.calls import call_context


@pytest.mark.parametrize("error", [ServiceFault("Away."), NotFound("Gone.")])
async def test_an_operation_with_a_fallback_fails_quietly(error: Exception) -> None:
    async def operation(_: CallContext) -> str:
        raise error

    step = ServiceCall("conversation", "context", ONCE)
    assert await or_none(ServiceCoordinator(), step, call_context(), operation) is None
    with pytest.raises(ValueError, match=r"agent_execution\.execute has no fallback"):
        await or_none(ServiceCoordinator(), ServiceCall("agent_execution", "execute"), call_context(), operation)


async def test_an_agent_is_served_as_it_was_known_last_while_its_service_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_catalog, "FRESH_SECONDS", 0.0)
    platform = Platform()
    async with catalog_on(platform) as catalog:
        known = await catalog.agent(call_context(), "echo")
        tools = await catalog.tools(call_context(), "echo")
        platform.away |= {"agent_management", "tool_registry"}
        platform.asked.clear()
        assert await catalog.agent(call_context(), "echo") == known
        assert await catalog.tools(call_context(), "echo") == tools
        assert len(platform.asked) == 2
        with pytest.raises(ServiceFault):
            await catalog.agent(call_context(0.5), "another")
        catalog.forget_agent("acme", "echo")
        with pytest.raises(ServiceFault):
            await catalog.agent(call_context(0.5), "echo")


async def test_a_stale_agent_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_catalog, "FRESH_SECONDS", 0.0)
    platform = Platform()
    async with catalog_on(platform) as catalog:
        catalog._tools._last_known_seconds = 0.0
        await catalog.tools(call_context(), "echo")
        platform.away.add("tool_registry")
        with pytest.raises(ServiceFault):
            await catalog.tools(call_context(), "echo")


async def test_an_unknown_agent_has_no_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_catalog, "FRESH_SECONDS", 0.0)
    platform = Platform()
    async with catalog_on(platform) as catalog:
        with pytest.raises(NotFound):
            await catalog.agent(call_context(), "nobody")
