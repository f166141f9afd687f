"""Message ids are their users' own: the same id of another user is another message, and tells nothing."""

from collections.abc import AsyncIterator

import pytest
from attrs import evolve

from orchestrator.errors import IdempotencyKeyReused, NotFound
from orchestrator.models.common.principal import RequestContext
from orchestrator.models.sessions.chat import ChatAccepted, ChatTurn
from orchestrator.models.sessions.session import Session
from tests.queue.operations import operator
from tests.queue.stage import SETTINGS, Stage, context, open_stage


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url, SETTINGS, consume=False) as stage:
        yield stage


def by(user: str, message_id: str = "m1") -> RequestContext:
    return evolve(context(user=user), message_id=message_id)


async def say(stage: Stage, user: str, content: str = "say a") -> tuple[Session, ChatAccepted]:
    session = await stage.session(context(user=user))
    return session, (await stage.chat.send(by(user), session.session_id, ChatTurn(content))).accepted


async def place_of(stage: Stage, ctx: RequestContext) -> tuple[str, str]:
    session, task_id = await stage.chat.transcripts.place_of(ctx, "m1")
    return session.session_id, task_id


async def test_two_users_may_have_the_same_message_id_and_each_finds_the_own_message(stage: Stage) -> None:
    ann, bob = await say(stage, "ann"), await say(stage, "bob", "say b")
    assert await place_of(stage, context(user="ann")) == (ann[0].session_id, ann[1].task_id)
    assert await place_of(stage, context(user="bob")) == (bob[0].session_id, bob[1].task_id)
    assert await place_of(stage, operator()) == (ann[0].session_id, ann[1].task_id)
    with pytest.raises(NotFound):
        await place_of(stage, context(user="eve"))


async def test_a_message_id_is_still_taken_for_its_own_user(stage: Stage) -> None:
    for user in ("ann", "bob"):
        session, accepted = await say(stage, user)
        again = await stage.chat.send(by(user), session.session_id, ChatTurn("say a"))
        assert (again.accepted.task_id, again.replayed) == (accepted.task_id, True)
        with pytest.raises(IdempotencyKeyReused):
            await stage.chat.send(by(user), session.session_id, ChatTurn("say something else"))
        keyed = evolve(by(user), idempotency_key="another")
        with pytest.raises(IdempotencyKeyReused):
            await stage.chat.send(keyed, session.session_id, ChatTurn("say something else"))


async def test_a_user_cancels_the_own_message_alone(stage: Stage) -> None:
    ann, bob = await say(stage, "ann"), await say(stage, "bob", "say b")
    await stage.chat.cancel(context(user="bob"), "m1")
    assert await stage.status(*bob) == "cancelled"
    assert await stage.status(*ann) == "pending"


async def test_the_second_users_record_stays_when_the_first_ones_is_gone(stage: Stage) -> None:
    await say(stage, "ann")
    session, accepted = await say(stage, "bob", "say b")
    await stage.redis.delete(stage.keys.message("acme", "m1"))
    assert await place_of(stage, context(user="bob")) == (session.session_id, accepted.task_id)
    with pytest.raises(IdempotencyKeyReused):
        await stage.chat.send(
            evolve(by("bob"), idempotency_key="another"), session.session_id, ChatTurn("say something else")
        )


async def test_forgetting_a_message_leaves_another_users_of_the_same_id(stage: Stage) -> None:
    ann, bob = await say(stage, "ann"), await say(stage, "bob", "say b")
    await stage.chat.tasks.forget_message("acme", bob[0].session_id, "m1", "bob")
    with pytest.raises(NotFound):
        await place_of(stage, context(user="bob"))
    assert await place_of(stage, context(user="ann")) == (ann[0].session_id, ann[1].task_id)
