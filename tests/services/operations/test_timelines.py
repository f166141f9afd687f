"""Timelines of requests, reasons of waiting, and what processes say of themselves."""

from collections.abc import AsyncIterator

import pytest
import trio
from attrs import evolve

from orchestrator.errors import NotFound
from orchestrator.models.common.ids import new_id
from orchestrator.models.common.principal import Role
from orchestrator.models.operations.tenant import TenantState
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.timeline import TaskWait, WaitReason
from orchestrator.services.operations.load import LoadService
from orchestrator.services.operations.timelines import TimelineService
from orchestrator.store.operations.tenants import TenantStates
from orchestrator.store.tasks.timelines import TimelineStore
from tests.queue.stage import SETTINGS, Stage, context, open_stage


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


def states_of(stage: Stage) -> TenantStates:
    return TenantStates(stage.redis, stage.keys, SETTINGS.event_log_length)


def load_of(stage: Stage) -> LoadService:
    return LoadService(stage.queue.nodes, stage.queue.ready, states_of(stage), 6000)


def timelines_of(stage: Stage) -> TimelineService:
    return TimelineService(TimelineStore(stage.redis, stage.keys, SETTINGS.event_log_length), load_of(stage))


async def beat(stage: Stage) -> None:
    """Have the process say what it has in hand now."""
    tenants = [running.claim.tenant_id for running in stage.consumer.running_tasks.values()]
    await stage.queue.nodes.beat(stage.queue.node, stage.consumer.meter.read(tenants))


async def why(stage: Stage, session: Session, task_id: str) -> TaskWait:
    return await timelines_of(stage).why(context(session.tenant_id, session.user_id), task_id)


async def test_a_timeline_has_every_step_of_a_turn_in_order(stage: Stage) -> None:
    session, correlation_id = await stage.session(), new_id()
    accepted = await stage.say(session, "say a", correlation_id=correlation_id)
    await stage.ended(session, accepted)
    timeline = await timelines_of(stage).trace(context(), correlation_id)
    assert [(step.step, step.attempt, step.detail) for step in timeline.steps] == [
        ("accepted", 0, "chat.message"), ("claimed", 1, ""), ("finished", 1, "completed"),
    ]  # fmt: skip
    assert [step.node for step in timeline.steps] == ["", stage.queue.node, stage.queue.node]
    assert {step.task_id for step in timeline.steps} == {accepted.task_id}
    assert timeline.steps[0].after_ms == 0
    assert timeline.duration_ms == timeline.steps[-1].after_ms
    assert 86_000 < await stage.redis.ttl(stage.keys.trace("acme", correlation_id)) <= 86_400


async def test_a_timeline_is_its_owners_and_the_operators(stage: Stage) -> None:
    session, correlation_id = await stage.session(), new_id()
    await stage.ended(session, await stage.say(session, "say a", correlation_id=correlation_id))
    timelines = timelines_of(stage)
    assert (await timelines.trace(context(user="oz", role=Role.OPERATOR), correlation_id)).steps
    for stranger in (context(user="bob"), context("globex"), context("globex", "oz", role=Role.OPERATOR)):
        with pytest.raises(NotFound):
            await timelines.trace(stranger, correlation_id)


async def test_a_request_that_two_users_share_by_name_shows_each_their_own(stage: Stage) -> None:
    correlation_id = new_id()
    anns, bobs = await stage.session(), await stage.session(context(user="bob"))
    task_ids = {}
    for session in (anns, bobs):
        accepted = await stage.say(session, "say a", correlation_id=correlation_id)
        await stage.ended(session, accepted)
        task_ids[session.user_id] = accepted.task_id
    for user in ("ann", "bob"):
        timeline = await timelines_of(stage).trace(context(user=user), correlation_id)
        assert {step.task_id for step in timeline.steps} == {task_ids[user]}


async def test_a_user_who_has_the_id_of_anothers_request_drops_nothing_from_its_timeline(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        correlation_id, timelines = new_id(), timelines_of(stage)
        anns, bobs = await stage.session(), await stage.session(context(user="bob"))
        hers = await stage.say(anns, "say a", correlation_id=correlation_id)
        await stage.say(bobs, "say b", correlation_id=correlation_id)
        await stage.redis.rpush(stage.keys.trace("acme", correlation_id, "bob"), *(f"t-{n}" for n in range(1100)))
        await stage.say(bobs, "say c", correlation_id=correlation_id)
        later = await stage.say(anns, "say d", correlation_id=correlation_id)
        assert await stage.redis.llen(stage.keys.trace("acme", correlation_id, "bob")) == 1000
        assert await stage.redis.llen(stage.keys.trace("acme", correlation_id)) == 2
        whose = {step.task_id for step in (await timelines.trace(context(), correlation_id)).steps}
        assert whose == {hers.task_id, later.task_id}
        for key in await stage.redis.keys(f"{stage.keys.trace('acme', correlation_id)}*"):
            assert 86_000 < await stage.redis.ttl(key) <= 86_400


async def test_operators_see_the_tasks_of_all_users_of_an_id(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        correlation_id, accepted = new_id(), set()
        for user in ("ann", "bob", "eve"):
            session = await stage.session(context(user=user))
            accepted.add((await stage.say(session, "say a", correlation_id=correlation_id)).task_id)
        seen = await timelines_of(stage).trace(context(user="oz", role=Role.OPERATOR), correlation_id)
        assert {step.task_id for step in seen.steps} == accepted


async def test_a_list_that_older_versions_have_mixed_is_read_as_ever(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        correlation_id, accepted = new_id(), {}
        for user in ("ann", "bob"):
            session = await stage.session(context(user=user))
            accepted[user] = (await stage.say(session, "say a", correlation_id=correlation_id)).task_id
        await stage.redis.delete(stage.keys.trace("acme", correlation_id, "bob"))
        await stage.redis.rpush(stage.keys.trace("acme", correlation_id), accepted["bob"])
        for user, task_id in accepted.items():
            timeline = await timelines_of(stage).trace(context(user=user), correlation_id)
            assert {step.task_id for step in timeline.steps} == {task_id}


async def test_a_turn_behind_another_one_waits_for_its_session(stage: Stage) -> None:
    session = await stage.session()
    running, waiting = await stage.say(session, "hold a"), await stage.say(session, "say b")
    await stage.turns.running.wait()
    first, second = await why(stage, session, running.task_id), await why(stage, session, waiting.task_id)
    assert (first.reason, first.node) == (WaitReason.IN_HAND, stage.queue.node)
    assert (second.reason, second.ahead, second.behind_task_id) == (WaitReason.SESSION, 1, running.task_id)
    stage.turns.release.set()
    await stage.ended(session, waiting)
    assert (await why(stage, session, waiting.task_id)).reason is WaitReason.ENDED


async def test_a_task_of_a_paused_tenant_says_so_and_how_many_are_before_it(stage: Stage) -> None:
    first, second = await stage.session(), await stage.session()
    await states_of(stage).change_state("acme", TenantState.PAUSED)
    await stage.say(first, "say a")
    told = await why(stage, second, (await stage.say(second, "say b")).task_id)
    assert (told.reason, told.ahead) == (WaitReason.PAUSED, 1)


async def test_a_task_at_its_tenants_bound_says_so(stage: Stage) -> None:
    first, second = await stage.session(), await stage.session()
    await stage.redis.hset(stage.keys.tenant_config("acme"), "concurrency", "1")
    await stage.say(first, "hold a")
    await stage.turns.running.wait()
    accepted = await stage.say(second, "say b")
    await beat(stage)
    told = await why(stage, second, accepted.task_id)
    assert (told.reason, told.in_hand, told.bound) == (WaitReason.CONCURRENCY, 1, 1)
    stage.turns.release.set()
    await stage.ended(second, accepted)


async def test_a_task_of_a_tenant_that_has_its_share_of_the_slots_says_so(redis_url: str) -> None:
    settings = evolve(SETTINGS, concurrency=3, tenant_share=0.5)
    async with open_stage(redis_url, settings) as stage:
        first, second = await stage.session(), await stage.session()
        running = await stage.say(first, "hold a")
        await stage.turns.running.wait()
        accepted = await stage.say(second, "say b")
        await beat(stage)
        told = await evolve(timelines_of(stage), tenant_share=0.5).why(context(), accepted.task_id)
        assert (told.reason, told.bound, told.in_hand, told.free_slots) == (WaitReason.SHARE, 0.5, 1, 2)
        stage.turns.release.set()
        for session, one in ((first, running), (second, accepted)):
            await stage.ended(session, one)


async def test_the_wait_reason_of_another_users_task_is_not_shown(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "say a")
    with pytest.raises(NotFound):
        await timelines_of(stage).why(context(user="bob"), accepted.task_id)


async def test_the_load_has_processes_tenants_and_waits(stage: Stage) -> None:
    session, other = await stage.session(), await stage.session(context("globex"))
    await stage.ended(other, await stage.say(other, "say a"))
    stage.turns.running = trio.Event()
    await stage.say(session, "hold b")
    await stage.turns.running.wait()
    await beat(stage)
    load = await load_of(stage).load(top=1)
    [node] = load.nodes
    assert node.live
    assert node.load is not None
    assert (node.load.in_hand, node.load.claimed, node.load.ended, node.load.tenants) == (1, 2, 1, {"acme": 1})
    assert (load.in_hand, load.slots, load.waits.samples) == (1, SETTINGS.concurrency, 2)
    assert node.load.in_hand <= node.load.limit == load.limit <= load.slots
    assert [queue.tenant_id for queue in load.tenants] == ["acme"]
    assert load.tenants_seen == 2


async def test_a_process_that_leaves_takes_its_load_with_it(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        await beat(stage)
        await stage.queue.nodes.leave(stage.queue.node)
        assert await stage.queue.nodes.list(6000) == []
        assert await stage.redis.hlen(stage.keys.loads) == 0


async def test_the_load_of_a_process_of_another_version_is_left_out(stage: Stage) -> None:
    await stage.redis.zadd(stage.keys.nodes, {"future": 9e12})
    await stage.redis.hset(stage.keys.loads, "future", '{"unknown": 1}')
    nodes = await stage.queue.nodes.list(6000)
    assert next(node for node in nodes if node.node == "future").load is None
