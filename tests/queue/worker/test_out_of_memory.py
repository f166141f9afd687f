"""Redis out of memory: what is in hand ends, what was accepted is worked off, and nothing new is taken in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import evolve

from orchestrator.errors import CallTimeout, StoreUnavailable
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.sandbox.redis.redis_server import run_redis
from orchestrator.store.redis.connection import open_redis
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.served import service


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    settings = evolve(SETTINGS, task_retries=1, task_retry_delay=0.05)
    async with run_redis(tmp_path / "redis", fsync="no") as server, open_stage(server.url, settings) as stage:
        yield stage


async def fill(stage: Stage) -> None:
    """Let Redis have no more memory."""
    await stage.redis.config_set("maxmemory", 1)


async def test_a_running_turn_ends_and_the_queued_ones_are_worked_off(stage: Stage) -> None:
    session = await stage.session()
    running = await stage.say(session, "hold a")
    queued = await stage.say(session, "say b")
    await stage.turns.running.wait()
    await fill(stage)
    with pytest.raises(StoreUnavailable, match="OOM"):
        await stage.session()
    with pytest.raises(StoreUnavailable, match="OOM"):
        await stage.say(session, "say c")
    stage.turns.release.set()
    assert (await stage.ended(session, running)).status is TaskStatus.COMPLETED
    assert (await stage.ended(session, queued)).status is TaskStatus.COMPLETED
    names = await stage.event_names(session)
    assert names.count("chat.stream") == 2
    assert names.count("chat.status_update(completed)") == 2
    assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ACTIVE
    await stage.redis.config_set("maxmemory", 0)
    assert (await stage.ended(session, await stage.say(session, "say c"))).status is TaskStatus.COMPLETED


async def test_a_turn_that_fails_starts_over(stage: Stage) -> None:
    session = await stage.session()
    stage.turns.failures.append(CallTimeout("The agent was slow."))
    blocker = await stage.say(session, "hold a")
    flaky = await stage.say(session, "flaky b")
    await stage.turns.running.wait()
    await fill(stage)
    stage.turns.release.set()
    assert (await stage.ended(session, blocker)).status is TaskStatus.COMPLETED
    task = await stage.ended(session, flaky)
    assert (task.status, stage.turns.began) == (TaskStatus.COMPLETED, ["hold a", "flaky b", "flaky b"])


async def test_turns_are_cancelled(stage: Stage) -> None:
    session = await stage.session()
    running = await stage.say(session, "hold a")
    queued = await stage.say(session, "say b")
    await stage.turns.running.wait()
    await fill(stage)
    for accepted in (queued, running):
        assert (await stage.chat.cancel(context(), accepted.message_id)).cancelled
        assert (await stage.ended(session, accepted)).status is TaskStatus.CANCELLED


async def test_the_sweep_goes_on_and_ends_what_is_idle(stage: Stage) -> None:
    session = await stage.session()
    await stage.ended(session, await stage.say(session, "say a"))
    await stage.idles(session)
    await fill(stage)
    assert await stage.sessions.idle_moves(session.tenant_id) == 1
    assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.PAUSED


async def test_requests_that_read_or_cancel_pass_and_those_for_more_do_not(redis_url: str) -> None:
    async with service(redis_url) as client, open_redis(redis_url) as redis:
        session_id = await client.session()
        accepted = (await client.say(session_id)).data
        await redis.config_set("maxmemory", 1)
        try:
            assert (await client.call("GET", f"/api/v1/task.get/{accepted['task_id']}")).status == 200
            assert (await client.say(session_id)).status == 503
            assert (await client.call("POST", f"/api/v1/chat.cancel/{accepted['message_id']}")).status == 200
            assert (await client.call("DELETE", f"/api/v1/session.close/{session_id}")).status == 200
        finally:
            await redis.config_set("maxmemory", 0)
