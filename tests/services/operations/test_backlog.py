"""The backlog of a tenant: all that was accepted and is not done is counted, wherever it stands."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.models.sessions.chat import IfBusy
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.operations.load import LoadService
from orchestrator.store.operations.nodes import Nodes
from tests.queue.stage import Stage, context, open_stage


@pytest.fixture
async def idle(redis_url: str) -> AsyncIterator[Stage]:
    """A process that takes work in, and runs none."""
    async with open_stage(redis_url, consume=False) as stage:
        yield stage


async def backlog(stage: Stage) -> int:
    """Return the backlog, which all figures agree on."""
    tenant, queue = (await stage.stores.tenants.read("acme")).tenant, await stage.stores.tenants.queue("acme")
    survey = await stage.stores.surveys.look("acme", used_within_ms=1000)
    nodes = Nodes(stage.redis, stage.keys)
    load = await LoadService(nodes, stage.stores.ready, stage.stores.tenants, 1000).load(10)
    waiting = tenant.queued + tenant.behind_sessions + tenant.batch_items
    assert tenant.backlog == waiting + tenant.in_hand + tenant.delayed + tenant.parked
    assert {queue.backlog, survey.backlog, load.backlog} == {tenant.backlog}
    assert (queue.behind_sessions, queue.batch_items) == (tenant.behind_sessions, tenant.batch_items)
    return tenant.backlog


async def test_turns_behind_the_first_of_their_session_are_counted(idle: Stage) -> None:
    sessions = [await idle.session() for _ in range(5)]
    for session in sessions:
        for number in range(10):
            await idle.say(session, f"say {number}")
    assert await backlog(idle) == 50
    tenant = (await idle.stores.tenants.read("acme")).tenant
    in_lanes = tenant.depth.high + tenant.depth.normal + tenant.depth.low
    assert (in_lanes, tenant.behind_sessions, tenant.queued) == (5, 45, 5)
    await idle.sessions.close(context(), sessions[0].session_id)
    assert await backlog(idle) == 40


async def test_the_count_follows_turns_that_are_cancelled_or_interrupt_others(idle: Stage) -> None:
    session = await idle.session()
    first, _, third, last = [await idle.say(session, f"say {number}") for number in range(4)]
    await idle.tasks.cancel(context(), third.task_id)
    assert await backlog(idle) == 3
    await idle.say(session, "say at once", if_busy=IfBusy.INTERRUPT)
    assert await idle.status(session, first) is TaskStatus.CANCELLED
    assert await backlog(idle) == 3
    await idle.tasks.cancel(context(), last.task_id)
    assert await backlog(idle) == 2


async def test_a_session_whose_turns_have_all_ended_counts_none(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        turns = [await stage.say(session, f"say {number}") for number in range(6)]
        for turn in turns:
            assert (await stage.ended(session, turn)).status is TaskStatus.COMPLETED
        assert await backlog(stage) == 0
        assert await stage.redis.hgetall(stage.keys.turns_waiting("acme")) == {b"": b"0"}
