"""Tenants: what is configured of them, drains that put work aside, users that share fairly."""

from collections.abc import AsyncIterator

import pytest
import trio

from orchestrator.codec import structure
from orchestrator.errors import InvalidBody, NotFound, QueueFull, TenantDraining, TransitionRefused
from orchestrator.models.operations.tenant import DrainMode, DrainRequest, TenantSettings, TenantState
from orchestrator.models.tasks.task import Lane, TaskStatus
from tests.queue.operations import Desk, open_desk, operator, own
from tests.queue.stage import Stage, context, open_stage
from tests.support.audited import audited
from tests.support.eventually import PATIENCE


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


@pytest.fixture
def desk(stage: Stage) -> Desk:
    return open_desk(stage)


DISCARD = DrainRequest(DrainMode.DISCARD)


async def test_a_discarding_drain_puts_aside_what_is_queued_and_a_resume_brings_it_back_in_order(
    stage: Stage, desk: Desk
) -> None:
    sessions = [await stage.session() for _ in range(4)]
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    await desk.tenants.change(operator(), "acme", TenantState.ACTIVE)
    await desk.tenants.configure(operator(), "acme", own(concurrency=1))
    running = await stage.say(sessions[0], "hold 0")
    await stage.turns.running.wait()
    waiting = [await stage.say(session, f"say {n}") for n, session in enumerate(sessions[1:], start=1)]
    turn = await stage.say(sessions[1], "say 1b")
    tenant = await desk.tenants.change(operator(), "acme", TenantState.DRAINING, DISCARD)
    assert (tenant.state, tenant.queued, tenant.in_hand, tenant.parked) == (TenantState.DRAINING, 0, 1, 3)
    stage.turns.release.set()
    await stage.ended(sessions[0], running)
    tenant = await desk.tenants.get("acme")
    assert (tenant.state, tenant.parked) == (TenantState.DRAINED, 3)
    assert [await stage.status(sessions[1], one) for one in (waiting[0], turn)] == [TaskStatus.PENDING] * 2
    assert stage.turns.began == ["hold 0"]
    await desk.tenants.change(operator(), "acme", TenantState.ACTIVE)
    for session, accepted in zip([*sessions[1:], sessions[1]], [*waiting, turn], strict=True):
        assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
    assert stage.turns.began[1:4] == ["say 1", "say 2", "say 3"]
    assert (await desk.tenants.get("acme")).parked == 0


async def test_what_is_put_aside_can_be_cancelled_and_does_not_come_back(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    accepted = await stage.say(session, "say a")
    await desk.tenants.change(operator(), "acme", TenantState.DRAINING, DISCARD)
    assert (await stage.tasks.cancel(context(), accepted.task_id)).cancelled
    assert (await desk.tenants.get("acme")).parked == 0
    await desk.tenants.change(operator(), "acme", TenantState.ACTIVE)
    assert (await desk.tenants.get("acme")).queued == 0
    assert stage.turns.began == []


async def test_a_deadline_puts_aside_what_it_overtakes(stage: Stage, desk: Desk) -> None:
    first, second = await stage.session(), await stage.session()
    await desk.tenants.configure(operator(), "acme", own(concurrency=1))
    running = await stage.say(first, "hold a")
    await stage.turns.running.wait()
    await stage.say(second, "say b")
    tenant = await desk.tenants.change(operator(), "acme", TenantState.DRAINING, DrainRequest(deadline_seconds=0))
    assert (tenant.queued, tenant.parked, tenant.in_hand) == (0, 1, 1)
    assert tenant.drain_deadline is not None
    stage.turns.release.set()
    await stage.ended(first, running)
    assert (await desk.tenants.get("acme")).state is TenantState.DRAINED


async def test_draining_twice_is_fine_and_a_drained_tenant_takes_and_starts_nothing(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    for _ in range(2):
        tenant = await desk.tenants.change(operator(), "acme", TenantState.DRAINING)
        assert tenant.state is TenantState.DRAINED
    with pytest.raises(TenantDraining):
        await stage.say(session, "say a")
    with pytest.raises(TransitionRefused):
        await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    await stage.redis.xadd(stage.keys.lane("acme", Lane.HIGH), {"message": "{}"})
    batch = await stage.queue.tasks.claim("acme", "node", 10)
    assert (batch.read, batch.claims) == (0, [])


async def test_a_limit_of_its_own_takes_effect_at_once_and_null_removes_it(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    tenant = await desk.tenants.configure(operator(), "acme", own(queue_length=1, weight=4.0, rate=50.0))
    assert (tenant.limits.queue_length, tenant.limits.rate, tenant.weight) == (1, 50.0, 4.0)
    assert await stage.redis.hget(stage.keys.weights, "acme") == b"4.0"
    await stage.say(session, "say a")
    other = await stage.session()
    with pytest.raises(QueueFull):
        await stage.say(other, "say b")
    tenant = await desk.tenants.configure(operator(), "acme", own(queue_length=None, weight=None))
    assert (tenant.limits.queue_length, tenant.limits.rate, tenant.weight) == (None, 50.0, 1.0)
    assert await stage.redis.hget(stage.keys.weights, "acme") is None
    await stage.say(other, "say b")
    entry = (await audited(stage.redis, "tenant.configure"))[0]
    assert entry.detail == "weight=None, queue_length=None"


@pytest.mark.parametrize(
    "body", [{"weight": 0}, {"concurrency": 0}, {"rate": -1}, {"queue_length": "many"}, {"colour": 1}], ids=str
)
def test_an_impossible_limit_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(InvalidBody):
        structure(body, TenantSettings)


async def test_tenants_and_queues_are_listed_by_name_in_pages(stage: Stage, desk: Desk) -> None:
    for name in ("c", "a", "b"):
        await stage.session(context(name))
    page = await desk.tenants.list(cursor=None, limit=2)
    assert [one.tenant_id for one in page.items] == ["a", "b"]
    assert [one.tenant_id for one in (await desk.tenants.list(cursor=page.next_cursor, limit=2)).items] == ["c"]
    queues = await desk.tenants.queues(cursor=None, limit=10)
    assert [one.tenant_id for one in queues.items] == ["a", "b", "c"]
    with pytest.raises(NotFound):
        await desk.tenants.queue("nobody")


async def test_a_queue_shows_what_is_where(stage: Stage, desk: Desk) -> None:
    session = await stage.session()
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    await stage.say(session, "say a")
    queue = await desk.tenants.queue("acme")
    assert (queue.depth.high, queue.queued, queue.in_hand, queue.accepted_per_minute) == (1, 1, 0, 1)
    assert queue.oldest_waiting is not None


async def test_users_share_fairly_within_a_tenant_where_that_is_on(stage: Stage, desk: Desk) -> None:
    ann = [await stage.session() for _ in range(5)]
    bob = await stage.session(context(user="bob"))
    await desk.tenants.configure(operator(), "acme", own(fair_users=True, concurrency=1))
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    turns = [(session, await stage.say(session, f"say ann {n}")) for n, session in enumerate(ann)]
    turns.append((bob, await stage.say(bob, "say bob")))
    queue = await desk.tenants.queue("acme")
    assert (queue.queued, queue.depth.high, queue.behind_users) == (6, 2, 4)
    await desk.tenants.change(operator(), "acme", TenantState.ACTIVE)
    for session, accepted in turns:
        assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
    assert stage.turns.began.index("say bob") == 1
    assert [name for name in stage.turns.began if "ann" in name] == [f"say ann {n}" for n in range(5)]
    assert await stage.redis.hgetall(stage.keys.users("acme")) == {b"": b"0"}


async def test_fairness_of_users_can_be_turned_on_and_off_with_work_queued(stage: Stage, desk: Desk) -> None:
    sessions = [await stage.session() for _ in range(9)]
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    turns = []
    for n, session in enumerate(sessions):
        if n % 3 == 0:
            await desk.tenants.configure(operator(), "acme", TenantSettings(fair_users=n == 3))
        turns.append(await stage.say(session, f"say {n}"))
    assert (await stage.tasks.cancel(context(), turns[3].task_id)).cancelled
    assert (await stage.tasks.cancel(context(), turns[5].task_id)).cancelled
    await desk.tenants.change(operator(), "acme", TenantState.ACTIVE)
    with trio.fail_after(PATIENCE):
        for n in (0, 1, 2, 4, 6, 7, 8):
            assert (await stage.ended(sessions[n], turns[n])).status is TaskStatus.COMPLETED
    assert (await desk.tenants.queue("acme")).queued == 0


async def test_a_drain_that_puts_aside_keeps_the_order_of_users(stage: Stage, desk: Desk) -> None:
    sessions = [await stage.session() for _ in range(3)]
    await desk.tenants.configure(operator(), "acme", TenantSettings(fair_users=True))
    await desk.tenants.change(operator(), "acme", TenantState.PAUSED)
    turns = [await stage.say(session, f"say {n}") for n, session in enumerate(sessions)]
    tenant = await desk.tenants.change(operator(), "acme", TenantState.DRAINING, DISCARD)
    assert (tenant.state, tenant.parked, tenant.behind_users) == (TenantState.DRAINED, 1, 2)
    await desk.tenants.change(operator(), "acme", TenantState.ACTIVE)
    for session, accepted in zip(sessions, turns, strict=True):
        assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
    assert stage.turns.began == ["say 0", "say 1", "say 2"]
