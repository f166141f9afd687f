"""Turns that fail and are retried, and turns that expire in the queue."""

from collections.abc import AsyncIterator

import orjson
import pytest
from attrs import evolve

from orchestrator.errors import BadGateway, FencedOut, OrchestratorError, ServiceRefused, TaskExpired
from orchestrator.models.common.ids import new_id
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.queue.worker.expiry import give_up_expired
from orchestrator.store.sessions.sessions import Viewer
from orchestrator.store.tasks.tasks import Retry
from orchestrator.store.tasks.timelines import TimelineStore
from tests.queue.stage import SETTINGS, ScriptedTurns, Stage, context, open_stage

RETRYING = evolve(SETTINGS, task_retries=2, task_retry_delay=0.02)


def play(stage: Stage, *failures: OrchestratorError) -> ScriptedTurns:
    """Let `flaky …` fail so before it answers."""
    stage.turns.failures.extend(failures)
    return stage.turns


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url, RETRYING) as stage:
        yield stage


async def test_a_transient_failure_is_retried_and_the_client_sees_the_turn_queued(stage: Stage) -> None:
    turns = play(stage, BadGateway("nonsense"), BadGateway("nonsense"))
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "flaky"))
    assert (task.status, task.attempt, task.error) == (TaskStatus.COMPLETED, 3, None)
    assert [retries for retries, _ in turns.attempts] == [0, 1, 2]
    assert [name for name in await stage.event_names(session) if "state_update" not in name] == [
        "chat.status_update(queued)",
        *("chat.stream", "chat.status_update(queued)") * 2,
        "chat.stream",
        "chat.completed",
        "chat.status_update(completed)",
    ]
    assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ACTIVE
    assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 0
    assert await stage.redis.zcard(stage.keys.delayed("acme")) == 0


async def test_each_retry_stands_once_in_the_timeline(stage: Stage) -> None:
    play(stage, BadGateway("nonsense"))
    session, correlation_id = await stage.session(), new_id()
    await stage.ended(session, await stage.say(session, "flaky", correlation_id=correlation_id))
    timelines = TimelineStore(stage.redis, stage.keys, SETTINGS.event_log_length)
    steps = await timelines.steps(Viewer("acme", "ann", sees_whole_tenant=False), correlation_id)
    assert [step.step for step in steps] == ["accepted", "claimed", "retried", "resumed", "claimed", "finished"]


async def test_all_attempts_together_have_the_time_of_one_turn(stage: Stage) -> None:
    turns = play(stage, BadGateway("nonsense"), BadGateway("nonsense"))
    session = await stage.session()
    await stage.ended(session, await stage.say(session, "flaky"))
    first, second, third = (left for _, left in turns.attempts)
    assert first == 120_000
    assert first - 1000 < second <= first - 17
    assert second - 1000 < third <= second - 34


async def test_out_of_retries_the_turn_fails_once_and_becomes_a_dead_letter(stage: Stage) -> None:
    turns = play(stage, *(BadGateway("nonsense") for _ in range(5)))
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "flaky"))
    assert (task.status, len(turns.attempts)) == (TaskStatus.FAILED, 3)
    assert (await stage.event_names(session)).count("system.error") == 1
    assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 1
    assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ERROR


@pytest.mark.parametrize(
    "error", [ServiceRefused("no"), BadGateway("later", retry_after_ms=60_000)], ids=["refused", "too long to wait"]
)
async def test_a_permanent_failure_is_not_retried(stage: Stage, error: OrchestratorError) -> None:
    turns = play(stage, error)
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "flaky"))
    assert (task.status, len(turns.attempts)) == (TaskStatus.FAILED, 1)


async def test_the_next_turns_of_the_session_wait_until_the_retried_one_has_ended(stage: Stage) -> None:
    turns = play(stage, BadGateway("nonsense"))
    session = await stage.session()
    await stage.say(session, "flaky")
    last = await stage.say(session, "say next")
    await stage.ended(session, last)
    recent = await stage.chat.transcripts.recent("acme", session.session_id, 10)
    assert [message.content for message in recent if message.role == "user"] == ["flaky", "say next"]
    assert len(turns.attempts) == 3


async def test_a_turn_that_waits_to_start_over_holds_no_slot_and_is_cancelled_at_once(redis_url: str) -> None:
    settings = evolve(SETTINGS, task_retries=1, task_retry_delay=30.0, concurrency=1)
    async with open_stage(redis_url, settings) as stage:
        turns = play(stage, BadGateway("nonsense"))
        session, other = await stage.session(), await stage.session()
        accepted = await stage.say(session, "flaky")
        await turns.running.wait()
        assert (await stage.ended(other, await stage.say(other, "say next"))).status is TaskStatus.COMPLETED
        assert await stage.status(session, accepted) is TaskStatus.RETRYING
        assert (await stage.chat.cancel(context(), accepted.message_id)).cancelled
        assert await stage.status(session, accepted) is TaskStatus.CANCELLED
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ACTIVE
        assert await stage.redis.zcard(stage.keys.delayed("acme")) == 0


async def test_a_retry_outlives_the_process_that_decided_it(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(RETRYING, task_retry_delay=0.3)) as first:
        turns = play(first, BadGateway("nonsense"))
        session = await first.session()
        accepted = await first.say(session, "flaky")
        await turns.running.wait()
        await first.becomes(session, accepted, TaskStatus.RETRYING)
    async with open_stage(redis_url) as second:
        play(second)
        assert (await second.ended(session, accepted)).status is TaskStatus.COMPLETED


async def test_a_fenced_attempt_schedules_no_retry(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        await stage.say(session, "say a")
        [claim] = (await stage.queue.tasks.claim("acme", "zombie", 1)).claims
        await stage.queue.tasks.hand_back(claim)
        with pytest.raises(FencedOut):
            await stage.queue.tasks.retry(claim, session.session_id, Retry(1, 1, b"{}", b'{"data":{}}'))


async def test_a_turn_cancelled_as_it_failed_ends_at_once(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        accepted = await stage.say(session, "say a")
        [claim] = (await stage.queue.tasks.claim("acme", stage.queue.node, 1)).claims
        await stage.chat.cancel(context(), accepted.message_id)
        moment = await stage.queue.tasks.retry(claim, session.session_id, Retry(60_000, 1, b"{}", b'{"data":{}}'))
        await stage.queue.due.mark("acme", moment)
        async with open_stage(redis_url) as other:
            assert (await other.ended(session, accepted)).status is TaskStatus.CANCELLED


# Expiry


async def test_a_turn_that_was_not_started_in_time_is_refused_when_it_is_claimed(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        accepted = await stage.say(session, "say a")
        await stage.expire(session, accepted)
        async with open_stage(redis_url) as other:
            task = await other.ended(session, accepted)
            assert task.error is not None
            assert (task.status, task.error.code, other.turns.began) == (TaskStatus.FAILED, TaskExpired.code, [])
            assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 1


async def test_a_turn_that_waits_too_long_in_a_paused_tenant_expires_with_those_behind_it(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session, other = await stage.session(), await stage.session()
        await stage.redis.hset(stage.keys.tenant_config("acme"), mapping={"state": "paused"})
        accepted = [await stage.say(session, f"say {number}") for number in range(3)]
        accepted.append(await stage.say(other, "say x"))
        assert await give_up_expired(stage.queue, "acme") == 0
        await stage.expire(session, *accepted)
        assert await give_up_expired(stage.queue, "acme") == 4
        for message in accepted:
            task = await stage.ended(session, message)
            assert task.error is not None
            assert (task.status, task.error.code) == (TaskStatus.FAILED, "ORCH_EXEC_003")
            assert task.error.correlation_id == task.correlation_id
        for one in (session, other):
            after = await stage.sessions.get(context(), one.session_id)
            assert (after.state, after.active_task_id) == (SessionState.ERROR, None)
        assert (await stage.event_names(session))[-3:] == [
            "system.error",
            "chat.status_update(failed)",
            "session.state_update(ERROR)",
        ]
        [*_, error, status, state] = [orjson.loads(event.body) for event in await stage.events(session)]
        assert error["data"]["parent_id"] == status["data"]["message_id"] == accepted[2].message_id
        assert state["data"]["session_id"] == session.session_id
        assert b"@" not in orjson.dumps([error, status, state])
        assert await stage.redis.xlen(stage.keys.lane("acme", Lane.HIGH)) == 0
        assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 4
        assert await give_up_expired(stage.queue, "acme") == 0


async def test_a_turn_that_still_has_time_follows_the_ones_that_are_given_up(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        first, last = await stage.say(session, "say a"), await stage.say(session, "say b")
        await stage.expire(session, first)
        assert await give_up_expired(stage.queue, "acme") == 1
        async with open_stage(redis_url) as other:
            assert (await other.ended(session, last)).status is TaskStatus.COMPLETED


async def test_without_a_queue_timeout_a_turn_waits_for_ever(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, queue_timeout=0), consume=False) as stage:
        accepted = await stage.say(await stage.session(), "say a")
        record = await stage.redis.hgetall(stage.keys.task("acme", accepted.task_id))
        assert b"expires_at" not in record
        assert await give_up_expired(stage.queue, "acme") == 0
