"""Sessions that end by themselves, and what is left of them."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import trio
from attrs import evolve

from orchestrator.models.sessions.session import Session, SessionCreate, SessionState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.redis.pubsub import Message
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import PATIENCE
from tests.telemetry.figures import figure


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url, evolve(SETTINGS, retain_sessions=3600.0)) as opened:
        yield opened


async def short_lived(stage: Stage, seconds: int = 60) -> Session:
    return (await stage.sessions.create(context(), SessionCreate("echo", ttl_seconds=seconds))).session


async def let_it_be_over(stage: Stage, session: Session) -> None:
    """Put the end of a session's time into the past."""
    await stage.redis.hset(stage.keys.session("acme", session.session_id), "expires_at", 1)
    await stage.redis.zadd(stage.keys.open_sessions("acme"), {session.session_id: 1})


async def state_of(stage: Stage, session: Session) -> SessionState:
    return (await stage.sessions.get(context(), session.session_id)).state


async def test_a_session_whose_time_is_over_is_closed_and_its_followers_are_told(stage: Stage) -> None:
    session = await short_lived(stage)
    await stage.ended(session, await stage.say(session, "say a"))
    async with stage.hub.follow("acme", session.session_id) as follower:
        await let_it_be_over(stage, session)
        await stage.sessions.idle_moves("acme")
        with trio.fail_after(PATIENCE):
            await follower.receive()
    assert await state_of(stage, session) is SessionState.TERMINATED
    assert await stage.redis.zcard(stage.keys.open_sessions("acme")) == 0
    assert 0 < await stage.redis.ttl(stage.keys.session("acme", session.session_id)) <= 3600


async def test_a_session_whose_time_is_over_cancels_its_running_turn(stage: Stage) -> None:
    session = await short_lived(stage)
    held = await stage.say(session, "hold a")
    await stage.turns.running.wait()
    await let_it_be_over(stage, session)
    await stage.sessions.idle_moves("acme")
    assert (await stage.ended(session, held)).status is TaskStatus.CANCELLED


async def test_every_transition_is_published_on_the_channel_of_its_state(stage: Stage) -> None:
    async with stage.redis.subscriber() as told:
        states = ("CREATED", "PROCESSING", "ACTIVE", "TERMINATED")
        for state in states:
            await told.subscribe(f"orchestrator:sessions:acme:{state.lower()}")
        session = await short_lived(stage)
        await stage.ended(session, await stage.say(session, "say a"))
        await stage.sessions.close(context(), session.session_id)
        published: list[tuple[str, dict[str, Any]]] = []
        with trio.fail_after(PATIENCE):
            while len(published) < 4:
                message = await anext(told)
                if isinstance(message, Message):
                    published.append((message.channel.decode().rpartition(":")[2], orjson.loads(message.payload)))
    assert [channel.upper() for channel, _ in published] == list(states)
    assert {body["session_id"] for _, body in published} == {session.session_id}
    codes = [(body["previous_state_id"], body["new_state_id"]) for _, body in published]
    assert codes == [(None, 10), (10, 30), (30, 20), (20, 70)]
    assert {body["event"] for _, body in published} == {"session.state_update"}
    assert all(body["changed_at"].endswith("Z") and body["reason"] and body["correlation_id"] for _, body in published)


async def test_a_session_that_has_ended_is_counted_however_it_ended(stage: Stage) -> None:
    over, closed = await short_lived(stage), await short_lived(stage)
    await let_it_be_over(stage, over)
    await stage.sessions.idle_moves("acme")
    await stage.sessions.close(context(), closed.session_id)
    labels = {"tenant_id": "acme", "agent_id": "echo"}
    assert figure(stage.sessions.metrics, "sessions_completed_total", status="terminated", **labels) == 2
    assert figure(stage.sessions.metrics, "session_duration_seconds_count", **labels) == 2


async def test_a_session_whose_time_was_prolonged_stays_open(stage: Stage) -> None:
    session = await short_lived(stage)
    await stage.redis.zadd(stage.keys.open_sessions("acme"), {session.session_id: 1})
    await stage.sessions.idle_moves("acme")
    assert await state_of(stage, session) is SessionState.CREATED
    assert await stage.redis.zscore(stage.keys.open_sessions("acme"), session.session_id) > 1


async def test_a_session_that_was_never_used_is_closed_in_the_end(stage: Stage) -> None:
    session = await stage.session()
    timers = stage.keys.session_timers("acme")
    await stage.redis.zadd(timers, {session.session_id: 1})
    await stage.sessions.idle_moves("acme")
    assert await state_of(stage, session) is SessionState.CREATED
    await stage.redis.hset(stage.keys.session("acme", session.session_id), "last_activity_at", 1)
    await stage.redis.zadd(timers, {session.session_id: 1})
    await stage.sessions.idle_moves("acme")
    assert await state_of(stage, session) is SessionState.TERMINATED


async def test_an_archived_session_is_kept_for_a_while(stage: Stage) -> None:
    session = await stage.session()
    await stage.ended(session, await stage.say(session, "say a"))
    for _ in range(3):
        await stage.idles(session)
        await stage.sessions.idle_moves("acme")
    assert await state_of(stage, session) is SessionState.ARCHIVED
    for suffix in ("", ":events", ":history", ":states"):
        assert 0 < await stage.redis.ttl(stage.keys.session("acme", session.session_id) + suffix) <= 3600


async def test_the_places_in_lists_go_with_the_record(stage: Stage) -> None:
    session, other = await stage.session(), await stage.session()
    await stage.sessions.close(context(), session.session_id)
    [member] = await stage.redis.zrange(stage.keys.ended_sessions("acme"), 0, -1)
    await stage.redis.zadd(stage.keys.ended_sessions("acme"), {member: 1})
    await stage.sessions.idle_moves("acme")
    for index in (stage.keys.sessions("acme"), stage.keys.user_sessions("acme", "ann")):
        assert await stage.redis.zrange(index, 0, -1) == [other.session_id.encode()]
    assert await stage.redis.keys(stage.keys.session("acme", session.session_id) + "*") == []
    assert await stage.redis.zcard(stage.keys.ended_sessions("acme")) == 0


async def test_sessions_of_an_older_version_get_timers_and_ends(stage: Stage) -> None:
    unused, archived, gone = [await stage.session() for _ in range(3)]
    await stage.redis.hset(stage.keys.session("acme", archived.session_id), "state", "ARCHIVED")
    await stage.redis.delete(stage.keys.session("acme", gone.session_id))
    await stage.redis.delete(stage.keys.session_timers("acme"), stage.keys.open_sessions("acme"))
    await stage.sessions.idle_moves("acme")
    await stage.sessions.idle_moves("acme")
    assert await stage.redis.zrange(stage.keys.session_timers("acme"), 0, -1) == [unused.session_id.encode()]
    assert await stage.redis.zrange(stage.keys.open_sessions("acme"), 0, -1) == [unused.session_id.encode()]
    assert await stage.redis.ttl(stage.keys.session("acme", archived.session_id)) > 0
    assert await stage.redis.zscore(stage.keys.sessions("acme"), gone.session_id) is None


async def test_what_is_no_session_leaves_the_timers_and_a_damaged_one_holds_up_no_other(stage: Stage) -> None:
    damaged, over = await short_lived(stage), await short_lived(stage)
    await let_it_be_over(stage, over)
    keys = stage.keys
    await stage.redis.set(keys.session("acme", damaged.session_id), "damaged")
    await stage.redis.zadd(keys.open_sessions("acme"), {damaged.session_id: 1, b"\xff": 1})
    await stage.redis.zadd(keys.session_timers("acme"), {b"\xff\xfe": 1, "nothing": 1})
    await stage.redis.zadd(keys.ended_sessions("acme"), {"of-no-user": 1, b"\xff": 1})
    await stage.sessions.idle_moves("acme")
    assert await state_of(stage, over) is SessionState.TERMINATED
    assert await stage.redis.zrangebyscore(keys.open_sessions("acme"), 1, 1) == []
    assert await stage.redis.zrangebyscore(keys.session_timers("acme"), 1, 1) == []
    assert await stage.redis.zrangebyscore(keys.ended_sessions("acme"), 1, 1) == []
