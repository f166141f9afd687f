"""Who has stopped a turn: kept with its task, told in its session, and known to what runs it."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from orchestrator.models.common.principal import Role
from orchestrator.models.common.timestamps import now_ms, to_timestamp
from orchestrator.models.sessions.chat import ChatAccepted, ChatTurn, IfBusy
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import CancelledBy
from orchestrator.store.tasks.claims import read_stop
from tests.queue.stage import Stage, context, open_stage

OPERATOR = context(user="root", role=Role.ADMIN)
Stop = Callable[[Stage, Session, ChatAccepted], Awaitable[Any]]


async def by_its_user(stage: Stage, session: Session, said: ChatAccepted) -> None:
    await stage.tasks.cancel(context(), said.task_id)


async def by_an_operator(stage: Stage, session: Session, said: ChatAccepted) -> None:
    await stage.tasks.cancel(OPERATOR, said.task_id)


async def by_a_close_of_its_user(stage: Stage, session: Session, said: ChatAccepted) -> None:
    await stage.sessions.close(context(), session.session_id)


async def by_a_close_of_an_operator(stage: Stage, session: Session, said: ChatAccepted) -> None:
    await stage.sessions.close(OPERATOR, session.session_id)


async def by_the_end_of_the_sessions_time(stage: Stage, session: Session, said: ChatAccepted) -> None:
    await stage.redis.hset(stage.keys.session("acme", session.session_id), "expires_at", 1)
    await stage.redis.zadd(stage.keys.open_sessions("acme"), {session.session_id: 1})
    await stage.sessions.idle_moves("acme")


async def by_a_newer_message(stage: Stage, session: Session, said: ChatAccepted) -> None:
    await stage.say(session, "say b", if_busy=IfBusy.INTERRUPT)


async def by_a_message_of_an_operator(stage: Stage, session: Session, said: ChatAccepted) -> None:
    await stage.chat.send(OPERATOR, session.session_id, ChatTurn("say b", if_busy=IfBusy.INTERRUPT))


STOPS: dict[Stop, CancelledBy] = {
    by_its_user: CancelledBy.USER,
    by_an_operator: CancelledBy.OPERATOR,
    by_a_close_of_its_user: CancelledBy.USER,
    by_a_close_of_an_operator: CancelledBy.OPERATOR,
    by_the_end_of_the_sessions_time: CancelledBy.SYSTEM,
    by_a_newer_message: CancelledBy.USER,
    by_a_message_of_an_operator: CancelledBy.OPERATOR,
}


async def told_of(stage: Stage, session: Session, said: ChatAccepted) -> list[str | None]:
    """Return whom the session was told of, each time that it was told of the turn."""
    told = [orjson.loads(event.body) for event in await stage.events(session) if event.name == "chat.status_update"]
    return [body["data"]["cancelled_by"] for body in told if body["data"]["task_id"] == said.task_id]


@pytest.mark.parametrize(("stop", "who"), STOPS.items(), ids=lambda value: getattr(value, "__name__", str(value)))
async def test_a_running_turn_names_who_has_stopped_it(redis_url: str, stop: Stop, who: CancelledBy) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        said = await stage.say(session, "hold a")
        await stage.turns.have_begun("hold a")
        await stop(stage, session, said)
        assert (await stage.ended(session, said)).cancelled_by is who
        assert await told_of(stage, session, said) == [None, who]
        assert stage.turns.stopped_by == [who]


@pytest.mark.parametrize(("stop", "who"), STOPS.items(), ids=lambda value: getattr(value, "__name__", str(value)))
async def test_a_queued_turn_names_who_has_stopped_it(redis_url: str, stop: Stop, who: CancelledBy) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        said = await stage.say(session, "say a")
        await stop(stage, session, said)
        assert (await stage.tasks.get(context(), said.task_id)).cancelled_by is who
        assert await told_of(stage, session, said) == [None, who]


async def test_a_turn_whose_session_is_closed_before_its_moment_was_stopped_by_the_service(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        turn = ChatTurn("say a", scheduled_for=to_timestamp(now_ms() + 60_000))
        said = (await stage.chat.send(context(), session.session_id, turn)).accepted
        await stage.sessions.close(context(), session.session_id)
        await stage.redis.zadd(stage.keys.delayed("acme"), {said.task_id: 1})
        await stage.queue.due.mark("acme", 1)
        assert (await stage.ended(session, said)).cancelled_by is CancelledBy.SYSTEM
        assert await told_of(stage, session, said) == [None, "system"]


async def test_who_stops_a_turn_first_has_stopped_it(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        said = await stage.say(session, "say a")
        await stage.redis.hset(stage.keys.task("acme", said.task_id), "status", "processing")
        await stage.tasks.cancel(OPERATOR, said.task_id)
        await stage.tasks.cancel(context(), said.task_id)
        asked = await stage.stores.tasks.stop_asked("acme", said.task_id)
        assert asked is not None
        assert asked.by is CancelledBy.OPERATOR


async def test_a_turn_that_has_ended_by_itself_has_no_canceller(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        said = await stage.say(session, "say a")
        await stage.ended(session, said)
        await stage.tasks.cancel(OPERATOR, said.task_id)
        assert (await stage.tasks.get(context(), said.task_id)).cancelled_by is None


@pytest.mark.parametrize(
    ("reason", "by", "found"),
    [
        (None, b"user", None),
        (b"cancelled", None, CancelledBy.USER),
        (b"cancelled", b"operator", CancelledBy.OPERATOR),
        (b"cancelled", b"of-a-later-version", CancelledBy.USER),
    ],
)
def test_what_another_version_has_written_asks_for_a_stop(
    reason: bytes | None, by: bytes | None, found: CancelledBy | None
) -> None:
    asked = read_stop(reason, by)
    assert (asked and asked.by) == found
