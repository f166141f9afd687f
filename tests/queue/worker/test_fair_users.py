"""Users that share fairly: where a task leaves the lanes, the next one of its user is started."""

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.sessions.chat import ChatTurn
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.queue.worker.expiry import give_up_expired
from orchestrator.services.operations.consistency import ConsistencyChecker
from orchestrator.services.shared.views import state_body
from orchestrator.services.tasks.tasks import retention_of
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import redis_clock_passes


async def share(stage: Stage, **further: str) -> None:
    """Let users share, with other figures of the tenant beside."""
    await stage.redis.hset(stage.keys.tenant_config("acme"), mapping={"fair_users": "1", **further})


async def balances(stage: Stage) -> bool:
    stores = stage.stores
    checker = ConsistencyChecker(stores.consistency, stores.reservation_checks, stores.ready, stores.due)
    return (await checker.audit("acme")).balances


@pytest.fixture
async def idle(redis_url: str) -> AsyncIterator[Stage]:
    """A process that takes work in, and runs none."""
    async with open_stage(redis_url, consume=False) as stage:
        await share(stage)
        yield stage


async def test_tasks_that_become_due_share_like_those_that_came_at_once(idle: Stage) -> None:
    sessions = [await idle.session() for _ in range(3)]
    moment = now_ms() + 60
    soon = to_timestamp(moment)
    sent = [
        (await idle.chat.send(context(), one.session_id, ChatTurn(f"say {n}", scheduled_for=soon))).accepted
        for n, one in enumerate(sessions)
    ]
    await redis_clock_passes(idle.redis, moment)
    released, following = await idle.queue.tasks.release_due(
        "acme",
        10,
        state_template=state_body("acme", "@session", SessionState.PROCESSING, "@correlation", "@task"),
        cancelled_template=b"{}",
        retention=retention_of(SETTINGS),
    )
    assert (released, following) == (3, None)
    assert await idle.redis.xlen(idle.keys.lane("acme", Lane.HIGH)) == 1
    assert await idle.redis.llen(idle.keys.user_tasks("acme", "ann")) == 2
    await idle.queue.ready.mark("acme")
    assert await balances(idle)
    async with trio.open_nursery() as nursery:
        await nursery.start(idle.consumer.run, idle.stopping)
        for session, accepted in zip(sessions, sent, strict=True):
            assert (await idle.ended(session, accepted)).status is TaskStatus.COMPLETED
        nursery.cancel_scope.cancel()
    assert await balances(idle)


async def test_where_the_first_of_a_user_is_given_up_the_next_one_moves_up_and_is_started(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as idle:
        await share(idle)
        first, second = await idle.session(), await idle.session()
        late, next_one = await idle.say(first, "say a"), await idle.say(second, "say b")
        assert await idle.redis.llen(idle.keys.user_tasks("acme", "ann")) == 1
        await idle.expire(first, late)
        await idle.redis.delete(idle.keys.ready)
        assert await give_up_expired(idle.queue, "acme") == 1
        assert await idle.status(first, late) is TaskStatus.FAILED
        # The tenant is ready again, though no turn of the session followed.
        assert await idle.redis.zscore(idle.keys.ready, "acme") is not None
        assert await balances(idle)
        async with open_stage(redis_url) as other:
            assert (await other.ended(second, next_one)).status is TaskStatus.COMPLETED


async def test_where_a_session_is_closed_the_next_task_of_its_user_starts_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.queue.worker.sweeper._EVERY", 600)  # the sweep would find it too
    async with open_stage(redis_url) as stage:
        await share(stage, state="paused")
        first, second = await stage.session(), await stage.session()
        await stage.say(first, "say a")
        next_one = await stage.say(second, "say b")
        await trio.testing.wait_all_tasks_blocked(0.1)  # until the scheduler has nothing to look for any more
        await stage.redis.delete(stage.keys.ready)
        await stage.redis.hset(stage.keys.tenant_config("acme"), "state", "active")
        await stage.sessions.close(context(), first.session_id)
        assert (await stage.ended(second, next_one)).status is TaskStatus.COMPLETED
        assert stage.turns.began == ["say b"]
        assert await balances(stage)
