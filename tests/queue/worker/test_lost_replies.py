"""Replies that are lost with their connection: what they handed out is found at once, and not after a lease."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from orchestrator.models.tasks.task import TaskStatus
from orchestrator.store.redis.errors import RedisAway
from orchestrator.store.tasks.tasks import TaskStore
from tests.queue.stage import Stage, context, open_stage


def losing(method: Callable[..., Awaitable[Any]], lost: list[Any], times: int = 1) -> Callable[..., Awaitable[Any]]:
    """Have replies lost that hand something out."""

    async def lose(store: TaskStore, *args: Any, **kwargs: Any) -> Any:
        reply = await method(store, *args, **kwargs)
        claims = reply[0] if isinstance(reply, tuple) else reply.claims
        if claims and len(lost) < times:
            lost.append(claims)
            raise RedisAway("the connection broke", sent=True)
        return reply

    return lose


async def attempt(stage: Stage, task_id: str) -> int:
    return int(await stage.redis.hget(stage.keys.task("acme", task_id), "attempt"))


async def test_what_a_lost_claim_has_handed_out_is_taken_back_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(redis_url) as stage:
        held = await stage.say(await stage.session(), "hold a")
        await stage.turns.running.wait()
        lost: list[Any] = []
        monkeypatch.setattr(TaskStore, "claim", losing(TaskStore.claim, lost))
        sessions = [await stage.session() for _ in range(3)]
        turns = [await stage.say(session, f"say {number}") for number, session in enumerate(sessions)]
        for session, accepted in zip(sessions, turns, strict=True):
            assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
        assert lost
        assert [await attempt(stage, claim.task_id) for claim in lost[0]] == [2] * len(lost[0])
        # What was in hand all the while is left alone.
        assert await attempt(stage, held.task_id) == 1
        stage.turns.release.set()


async def test_a_reply_that_is_lost_while_it_hands_them_back_is_no_more_harm(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(redis_url) as stage:
        monkeypatch.setattr(TaskStore, "claim", losing(TaskStore.claim, []))
        lost: list[Any] = []
        monkeypatch.setattr(TaskStore, "take_back", losing(TaskStore.take_back, lost, times=2))
        session = await stage.session()
        accepted = await stage.say(session, "say a")
        assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
        assert len(lost) == 2
        assert await attempt(stage, accepted.task_id) == 4


async def test_claims_of_other_tenants_in_the_same_round_are_found_too(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        monkeypatch.setattr(TaskStore, "claim", losing(TaskStore.claim, []))
        tenants = ["acme", "globex", "initech"]
        sessions = [await stage.session(context(tenant)) for tenant in tenants]
        turns = [await stage.say(session, "say a") for session in sessions]
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.consumer.run, stage.stopping)
            for session, accepted in zip(sessions, turns, strict=True):
                assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
            stage.stopping.set()


async def test_a_turn_that_could_not_be_ended_while_redis_was_away_is_begun_again_at_once(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        handler, broken = stage.consumer.handler, list[str]()

        async def break_once(running: Any) -> None:
            if not broken:
                broken.append(running.claim.task_id)
                raise RedisAway("it was away until the deadline", sent=False)
            await handler(running)

        stage.consumer.handler = break_once
        session = await stage.session()
        accepted = await stage.say(session, "say a")
        assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
        assert broken == [accepted.task_id]
