"""Clocks that jump: moments are compared by Redis' clock alone."""

from time import time_ns

import pytest
import trio
from attrs import evolve

from orchestrator.models.common.timestamps import from_timestamp
from orchestrator.models.sessions.session import SessionCreate
from orchestrator.models.tasks.task import TaskStatus
from tests.queue.stage import SETTINGS, context, open_stage
from tests.support.eventually import PATIENCE

HOURS_NS = 5 * 3600 * 10**9


@pytest.fixture(params=[HOURS_NS, -HOURS_NS], ids=["hours ahead", "hours behind"])
def wrong_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own clock is off."""
    offset: int = request.param
    monkeypatch.setattr("orchestrator.models.common.timestamps.time_ns", lambda: time_ns() + offset)


@pytest.mark.usefixtures("wrong_clock")
async def test_delayed_tasks_are_released_at_their_moment_though_the_clock_of_the_process_is_wrong(
    redis_url: str,
) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        began = trio.current_time()
        task = await stage.ended(session, await stage.say(session, "tool 200"))
        assert task.status is TaskStatus.COMPLETED
        assert 0.2 <= trio.current_time() - began < PATIENCE


@pytest.mark.usefixtures("wrong_clock")
async def test_a_rate_of_starts_is_kept_though_the_clock_of_the_process_is_wrong(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        sessions = [await stage.session() for _ in range(7)]
        await stage.redis.hset(stage.keys.tenant_config("acme"), mapping={"start_rate": 5})
        began = trio.current_time()
        accepted = [(session, await stage.say(session, "say x")) for session in sessions]
        for session, one in accepted:
            await stage.ended(session, one)
        assert 0.3 <= trio.current_time() - began < PATIENCE


@pytest.mark.usefixtures("wrong_clock")
async def test_sessions_become_idle_though_the_clock_of_the_process_is_wrong(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, pause_after=60.0)) as stage:
        session = await stage.session()
        await stage.ended(session, await stage.say(session, "say a"))
        assert (await stage.sessions.idle_moves("acme")) == 0
        await stage.idles(session)
        assert (await stage.sessions.idle_moves("acme")) == 1
        assert (await stage.sessions.get(context(), session.session_id)).state == "PAUSED"


@pytest.mark.usefixtures("wrong_clock")
async def test_a_session_lives_as_long_as_it_was_asked_for_though_the_clock_of_the_process_is_wrong(
    redis_url: str,
) -> None:
    async with open_stage(redis_url) as stage:
        session = (await stage.sessions.create(context(), SessionCreate("echo", ttl_seconds=60))).session
        seconds, _ = await stage.redis.execute_command("TIME")
        assert 50 < from_timestamp(str(session.expires_at)) / 1000 - int(seconds) <= 61
        assert (await stage.ended(session, await stage.say(session, "say a"))).status is TaskStatus.COMPLETED


@pytest.mark.usefixtures("wrong_clock")
async def test_messages_are_started_in_time_though_the_clock_of_the_process_is_wrong(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, queue_timeout=60.0)) as stage:
        session = await stage.session()
        assert (await stage.ended(session, await stage.say(session, "say a"))).status is TaskStatus.COMPLETED
