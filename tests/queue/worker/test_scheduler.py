"""Whose task is next: between tenants, and between lanes."""

from collections import Counter
from typing import Any

import pytest
import trio
from attrs import evolve

from orchestrator.domain.tasks.fairness import Contender, distribute
from orchestrator.models.sessions.chat import ChatAccepted
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.store.scheduling.ready import Settlement
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import eventually

PLENTY = evolve(SETTINGS, rate_tenant=1e6, rate_user=1e6)


async def configure(stage: Stage, tenant: str, **figures: Any) -> None:
    await stage.redis.hset(stage.keys.tenant_config(tenant), mapping=figures)
    if "weight" in figures:
        await stage.redis.hset(stage.keys.weights, tenant, figures["weight"])


async def fill(stage: Stage, tenant: str, count: int, **fields: Any) -> list[tuple[Session, ChatAccepted]]:
    """Give a tenant so much work, each piece in a session of its own."""
    filled = []
    for number in range(count):
        session = await stage.session(context(tenant))
        filled.append((session, await stage.say(session, f"say {tenant} {number}", **fields)))
    return filled


async def serve(stage: Stage, claims: int, slots: int) -> Counter[str]:
    """Claim as a scheduler does, and finish nothing; returns how many were claimed of each tenant."""
    served: Counter[str] = Counter()
    settlements: list[Settlement] = []
    while served.total() < claims:
        turns = await stage.queue.ready.take(slots, settlements)
        settlements = []
        shares = distribute([Contender(one.tenant_id, one.virtual_time, one.weight) for one in turns], slots)
        for turn in turns:
            share = shares.get(turn.tenant_id, 0)
            batch = await stage.queue.tasks.claim(turn.tenant_id, "node", share) if share else None
            read = batch.read if batch else 0
            served[turn.tenant_id] += read
            more = batch.more if batch else True
            settlements.append(Settlement(turn.tenant_id, turn.virtual_time + read / turn.weight, more=more))
        if not turns and not any(one.more for one in settlements):
            break
    await stage.queue.ready.take(0, settlements)
    return served


@pytest.mark.parametrize("slots", [1, 10])
async def test_weights_are_met_with_unlike_backlogs(redis_url: str, slots: int) -> None:
    async with open_stage(redis_url, PLENTY, consume=False) as stage:
        for tenant, weight, backlog in (("one", 1, 80), ("two", 2, 150), ("four", 4, 120)):
            await configure(stage, tenant, weight=weight)
            await fill(stage, tenant, backlog)
        served = await serve(stage, 175, slots)
        total = served.total()
        for tenant, weight in (("one", 1), ("two", 2), ("four", 4)):
            assert served[tenant] == pytest.approx(total * weight / 7, rel=0.05)


async def test_a_tenant_that_comes_late_gets_its_turn_at_once_and_no_more_than_its_share(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY, consume=False) as stage:
        await fill(stage, "flood", 120)
        assert (await serve(stage, 60, 5))["flood"] == 60
        await fill(stage, "small", 3)
        served = await serve(stage, 6, 1)
        assert served["small"] == 3
        assert served["flood"] == 3


async def test_a_tenant_can_not_save_up_while_it_has_no_work(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY, consume=False) as stage:
        await fill(stage, "sleeper", 1)
        await serve(stage, 1, 1)
        await fill(stage, "busy", 100)
        await serve(stage, 50, 1)
        await fill(stage, "sleeper", 30)
        served = await serve(stage, 20, 1)
        assert served["busy"] == pytest.approx(10, abs=1)


async def test_a_tenant_in_debt_keeps_its_debt_when_it_comes_back(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY, consume=False) as stage:
        await fill(stage, "costly", 1)
        await serve(stage, 1, 1)
        await stage.queue.ready.take(0, [Settlement("costly", correction=10.0)])
        await fill(stage, "costly", 5)
        await fill(stage, "other", 20)
        assert await serve(stage, 10, 1) == Counter(other=10)


async def test_the_bound_of_running_tasks_holds_and_the_next_start_when_one_ends(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY) as stage:
        await configure(stage, "acme", concurrency=2)
        holding = [(await stage.session(), f"hold {number}") for number in range(5)]
        accepted = [(session, await stage.say(session, content)) for session, content in holding]
        other = await stage.session(context("globex"))
        await stage.ended(other, await stage.say(other, "say x"))
        assert len(stage.consumer.running_tasks) == 2
        stage.turns.release.set()
        for session, one in accepted:
            assert (await stage.ended(session, one)).status is TaskStatus.COMPLETED


async def test_the_rate_of_starts_holds_and_the_rest_start_later(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY) as stage:
        await configure(stage, "acme", start_rate=4)
        began = trio.current_time()
        accepted = await fill(stage, "acme", 6)
        for session, one in accepted:
            assert (await stage.ended(session, one)).status is TaskStatus.COMPLETED
        # Four may start at once, the other two a quarter of a second apart.
        assert trio.current_time() - began >= 0.45


async def test_one_claim_starts_no_more_tasks_than_those_of_a_second(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY, consume=False) as stage:
        await configure(stage, "acme", start_rate=2)
        await fill(stage, "acme", 6)
        batch = await stage.queue.tasks.claim("acme", "node", 10)
        assert len(batch.claims) == 2
        assert 0 < batch.wait_ms <= 500
        assert (await stage.queue.tasks.claim("acme", "node", 10)).claims == []


async def test_the_high_lane_goes_first(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(PLENTY, concurrency=1), consume=False) as stage:
        for priority in (9, 5, 0):
            session = await stage.session()
            await stage.say(session, f"say {priority}", priority=priority)
        batch = await stage.queue.tasks.claim("acme", "node", 3)
        assert [claim.message().priority for claim in batch.claims] == [0, 5, 9]


async def test_a_low_lane_is_not_starved_by_a_high_one(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY, consume=False) as stage:
        session = await stage.session()
        old = await stage.say(session, "say old", priority=9)
        # As if it had been waiting for a minute: the entry is written again with an older id.
        lane = stage.keys.lane("acme", Lane.LOW)
        [(entry, fields)] = await stage.redis.xrange(lane)
        await stage.redis.delete(lane)
        aged = f"{int(entry.split(b'-')[0]) - 60_000}-0"
        await stage.redis.xadd(lane, fields, id=aged)
        await stage.redis.hset(stage.keys.task("acme", old.task_id), "entry", aged)
        await fill(stage, "acme", 5, priority=0)
        batch = await stage.queue.tasks.claim("acme", "node", 1)
        assert [claim.task_id for claim in batch.claims] == [old.task_id]


async def begun(stage: Stage, count: int) -> None:
    await eventually(
        f"{count} turns have begun",
        lambda: len(stage.turns.began),
        lambda found: found == count,
        changed=lambda: stage.turns.noted,
    )


async def test_a_flood_of_long_tasks_leaves_slots_for_other_tenants(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(PLENTY, concurrency=10)) as stage:
        sessions = [await stage.session() for _ in range(20)]
        accepted = [await stage.say(session, f"hold {number}") for number, session in enumerate(sessions)]
        await begun(stage, 9)
        for tenant in ("globex", "initech"):
            other = await stage.session(context(tenant))
            with trio.fail_after(30):
                await stage.ended(other, await stage.say(other, "say x"))
        assert len(stage.consumer.running_tasks) == 9
        stage.turns.release.set()
        for session, one in zip(sessions, accepted, strict=True):
            await stage.ended(session, one)


async def test_a_tenant_at_its_share_of_one_process_goes_on_in_another(redis_url: str) -> None:
    small = evolve(PLENTY, concurrency=2)
    async with open_stage(redis_url, small) as stage, open_stage(redis_url, small) as other:
        sessions = [await stage.session() for _ in range(4)]
        for number, session in enumerate(sessions):
            await stage.say(session, f"hold {number}")
        with trio.fail_after(30):
            await begun(stage, 1)
            await begun(other, 1)
        stage.turns.release.set()
        other.turns.release.set()


async def test_nothing_is_claimed_beyond_the_free_slots(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(PLENTY, concurrency=3, tenant_share=1.0)) as stage:
        sessions = [await stage.session() for _ in range(6)]
        accepted = [await stage.say(session, f"hold {number}") for number, session in enumerate(sessions)]
        other = await stage.session(context("globex"))
        waiting = await stage.say(other, "say x")
        await eventually(
            "three turns have begun",
            lambda: len(stage.turns.began),
            lambda count: count == 3,
            changed=lambda: stage.turns.noted,
        )
        assert len(stage.consumer.running_tasks) == 3
        pending = await stage.redis.xpending(stage.keys.lane("acme", Lane.HIGH), "orchestrator")
        assert pending["pending"] <= 3
        stage.turns.release.set()
        for session, one in zip(sessions, accepted, strict=True):
            await stage.ended(session, one)
        await stage.ended(other, waiting)


async def test_the_damaged_keys_of_one_tenant_keep_no_other_from_its_work(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        hers, his = await stage.session(), await stage.session(context("globex"))
        held = await stage.say(hers, "hold a")
        await stage.turns.running.wait()
        lane = stage.keys.lane("acme", Lane.HIGH)
        await stage.redis.delete(lane)
        [running] = stage.consumer.running_tasks.values()
        assert await stage.queue.tasks.renew("acme", stage.queue.node, [running.claim]) == set()
        await stage.redis.set(lane, "no stream")
        await stage.queue.ready.mark("acme")
        assert (await stage.ended(his, await stage.say(his, "say b"))).status is TaskStatus.COMPLETED
        await stage.redis.delete(lane)
        stage.turns.release.set()
        assert (await stage.ended(hers, held)).status is TaskStatus.COMPLETED
        assert (await stage.ended(hers, await stage.say(hers, "say c"))).status is TaskStatus.COMPLETED


async def test_slots_that_are_gathered_for_a_claim_do_not_wait_for_tasks_that_take_long(redis_url: str) -> None:
    settings = evolve(PLENTY, adaptive_concurrency=False, concurrency=9)
    async with open_stage(redis_url, settings) as stage:
        stage.consumer.slots.busy = 1.0
        for number in range(7):
            await stage.say(await stage.session(), f"hold {number}")
        said = await fill(stage, "acme", 5)
        for session, one in said:
            # Its eighth slot is the only one that becomes free.
            assert (await stage.ended(session, one)).status is TaskStatus.COMPLETED
        stage.turns.release.set()
