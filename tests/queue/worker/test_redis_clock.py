"""Redis' clock is set, forward or back: what is stored stands as it would after the step."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from attrs import evolve

from orchestrator.errors import RateLimited
from orchestrator.models.sessions.chat import ChatAccepted
from orchestrator.models.sessions.session import Session
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.queue.worker.importer import Importer
from orchestrator.queue.worker.leases import Leases
from orchestrator.queue.worker.load_report import LoadReporter
from orchestrator.queue.worker.slots import Slots
from orchestrator.store.tasks.claims import Claim
from orchestrator.store.tasks.task_leases import GROUP
from tests.queue.stage import SETTINGS, Stage, open_stage
from tests.support.eventually import PATIENCE

QUICK = evolve(SETTINGS, node_timeout=0.3)
TEN_MINUTES = 600_000


async def redis_now(stage: Stage) -> int:
    seconds, microseconds = await stage.redis.execute_command("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


async def claimed_by(stage: Stage, node: str) -> tuple[Session, ChatAccepted, Claim]:
    """A task that `node` has in hand."""
    session = await stage.session()
    accepted = await stage.say(session, "say a")
    [claim] = (await stage.queue.tasks.claim("acme", node, 1)).claims
    return session, accepted, claim


async def set_idle(stage: Stage, node: str, idle_ms: int) -> None:
    """Have a lease look as long idle."""
    lane = stage.keys.lane("acme", Lane.HIGH)
    [pending] = await stage.redis.xpending_range(lane, GROUP, "-", "+", 1)
    entry = pending["message_id"]
    now = await redis_now(stage)
    await stage.redis.gather([("XCLAIM", lane, GROUP, node, 0, entry, "TIME", now - idle_ms, "JUSTID")])


@pytest.mark.parametrize("ahead_ms", [TEN_MINUTES, 0, -TEN_MINUTES], ids=["back", "as it was", "forward"])
async def test_the_tasks_of_a_dead_process_are_taken_over_though_the_clock_was_set(
    redis_url: str, ahead_ms: int
) -> None:
    async with open_stage(redis_url, QUICK, consume=False) as dead:
        session, accepted, _ = await claimed_by(dead, "dead")
        await dead.redis.zadd(dead.keys.nodes, {"dead": await redis_now(dead) + ahead_ms})
        async with open_stage(redis_url, QUICK) as alive:
            task = await alive.ended(session, accepted)
            assert (task.status, task.attempt) == (TaskStatus.COMPLETED, 2)


async def test_a_process_that_lives_keeps_its_tasks_though_its_heartbeat_looks_old(redis_url: str) -> None:
    async with open_stage(redis_url, QUICK) as one:
        session = await one.session()
        accepted = await one.say(session, "hold a")
        await one.turns.running.wait()
        async with open_stage(redis_url, QUICK, node="second"):
            # Each time the other one looks, the clock has been set forward since the last heartbeat.
            for _ in range(30):
                await one.redis.zincrby(one.keys.nodes, -TEN_MINUTES, one.queue.node)
                await trio.sleep(0.03)
            one.turns.release.set()
            task = await one.ended(session, accepted)
            assert (task.status, task.attempt) == (TaskStatus.COMPLETED, 1)


def leases_of(stage: Stage, taken: list[Claim], nursery: trio.Nursery) -> Leases:
    """The keeper of a process that begins nothing, and notes what it takes."""
    running: dict[str, RunningTask] = {}
    leases = Leases(
        stage.queue,
        running,
        lambda claim, _: taken.append(claim),
        LoadReporter("keeper", Slots(1, adaptive=False)),
        Importer(stage.queue),
    )
    leases.workers = nursery
    return leases


async def looks(stage: Stage, between: Callable[[], Awaitable[None]] | None = None) -> list[Claim]:
    """Two looks at the silent leases, half a lease apart; returns what was taken over."""
    taken: list[Claim] = []
    async with trio.open_nursery() as nursery:
        leases = leases_of(stage, taken, nursery)
        await leases.adopt("acme")
        assert taken == []
        if between is not None:
            await between()
        await trio.sleep(stage.queue.settings.lease / 2)
        await leases.adopt("acme")
    return taken


async def test_a_lease_that_looks_idle_and_is_renewed_stays_where_it_is(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, lease=1.0), consume=False) as stage:
        _, _, claim = await claimed_by(stage, "one")
        await set_idle(stage, "one", TEN_MINUTES)

        async def renewed_and_the_clock_set_again() -> None:
            assert await stage.queue.tasks.renew("acme", "one", [claim]) == set()
            await set_idle(stage, "one", 2 * TEN_MINUTES)

        assert await looks(stage, renewed_and_the_clock_set_again) == []
        assert await looks(stage) != []


async def test_a_lease_that_ran_out_is_taken_over_at_the_second_look(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, lease=1.0), consume=False) as stage:
        _, _, claim = await claimed_by(stage, "one")
        await set_idle(stage, "one", 900)
        [taken] = await looks(stage)
        assert (taken.task_id, taken.attempt) == (claim.task_id, 2)


async def test_a_dead_process_loses_its_leases_though_they_were_renewed_just_now(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        _, _, claim = await claimed_by(stage, "dead")
        claims, _, more = await stage.queue.tasks.take_over("acme", "alive", 10, gone="dead")
        assert ([one.task_id for one in claims], more) == ([claim.task_id], False)


async def test_a_rate_of_starts_holds_up_nothing_for_longer_than_its_burst_after_the_clock_was_set_back(
    redis_url: str,
) -> None:
    async with open_stage(redis_url) as stage:
        sessions = [await stage.session() for _ in range(4)]
        await stage.redis.hset(stage.keys.tenant_config("acme"), mapping={"start_rate": 5})
        await stage.redis.set(stage.keys.start_limit("acme"), await redis_now(stage) + TEN_MINUTES)
        began = trio.current_time()
        for session, one in [(session, await stage.say(session, "say x")) for session in sessions]:
            await stage.ended(session, one)
        assert 0.5 <= trio.current_time() - began < PATIENCE


async def test_a_rate_lets_the_next_request_pass_after_the_clock_was_set_back_and_then_holds(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        sessions = [await stage.session() for _ in range(2)]
        await stage.redis.hset(stage.keys.tenant_config("acme"), mapping={"rate": 1})
        await stage.redis.set(stage.keys.tenant_limit("acme"), await redis_now(stage) + TEN_MINUTES)
        await stage.say(sessions[0], "say a")
        with pytest.raises(RateLimited) as refused:
            await stage.say(sessions[1], "say b")
        assert refused.value.retry_after_ms is not None
        assert refused.value.retry_after_ms <= 1000
