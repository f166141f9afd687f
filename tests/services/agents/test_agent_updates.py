"""Changes of agents: what keeps sessions from following them."""

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import NotFound, OrchestratorError, SessionBusy, StoreUnavailable
from orchestrator.models.agents.agent_views import AgentUpdated, Forgotten
from orchestrator.services.agents.agent_updates import AgentUpdates
from tests.queue.stage import context

CHANGE = AgentUpdated("echo", version="2.0.0", rebind=["s1", "s2"])


def updates(refused: OrchestratorError, asked: list[str]) -> AgentUpdates:
    """Changes, where sessions of an older version are not given the new one."""

    async def agent_updated(*_: Any) -> Forgotten:
        return Forgotten("echo")

    async def get(*_: Any) -> Any:
        return SimpleNamespace(agent_id="echo", pinned_version="1.0.0")

    async def assign(_: Any, session_id: str, __: Any) -> None:
        asked.append(session_id)
        raise refused

    catalog: Any = SimpleNamespace(agent_updated=agent_updated)
    sessions: Any = SimpleNamespace(get=get, assign=assign)
    nothing: Any = None
    return AgentUpdates(catalog, sessions, nothing)


@pytest.mark.parametrize("refused", [SessionBusy("It is at work."), NotFound("There is no such version.")])
async def test_a_session_that_can_not_follow_keeps_no_other_from_it(refused: OrchestratorError) -> None:
    asked: list[str] = []
    await updates(refused, asked).take(context(), CHANGE)
    assert asked == ["s1", "s2"]


async def test_an_outage_is_told_so_that_the_change_comes_again() -> None:
    with pytest.raises(StoreUnavailable):
        await updates(StoreUnavailable("Redis is away."), []).take(context(), CHANGE)
