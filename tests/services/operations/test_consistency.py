"""Consistency: every task is in exactly one place, and what the checker finds and repairs where it is not."""

from collections.abc import AsyncIterator

import pytest
import trio

from orchestrator.models.operations.consistency import Place, ViolationKind
from orchestrator.models.operations.tenant import TenantState
from orchestrator.models.sessions.session import Session, SessionState
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.services.operations.consistency import ConsistencyChecker, Report
from orchestrator.store.operations.tenants import TenantStates
from tests.queue.stage import Stage, context, open_stage


@pytest.fixture
async def idle(redis_url: str) -> AsyncIterator[Stage]:
    """A process that takes work in, and runs none."""
    async with open_stage(redis_url, consume=False) as stage:
        yield stage


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


def consistency_checker_of(stage: Stage) -> ConsistencyChecker:
    stores = stage.stores
    return ConsistencyChecker(stores.consistency, stores.reservation_checks, stores.ready, stores.due)


async def audit(stage: Stage) -> Report:
    return await consistency_checker_of(stage).audit("acme")


async def kinds(stage: Stage) -> set[ViolationKind]:
    return {fault.kind for fault in (await audit(stage)).faults}


async def repair(stage: Stage) -> Report:
    """Repair, and look again."""
    repaired = await consistency_checker_of(stage).repair(await audit(stage))
    assert all(fault.mended for fault in repaired.faults)
    return await audit(stage)


async def talk(stage: Stage, session: Session) -> None:
    for number in range(20):
        await stage.say(session, f"say {number}")


async def test_every_task_is_in_exactly_one_place_wherever_it_is(stage: Stage) -> None:
    session, other, third = await stage.session(), await stage.session(), await stage.session()
    await stage.ended(session, await stage.say(session, "say a"))
    await stage.ended(session, await stage.say(session, "crash"))
    await stage.say(session, "hold b")
    await stage.say(session, "say c")
    await stage.turns.running.wait()
    waiting = await stage.say(other, "tool")
    await stage.turns.have_begun("hold b", "tool")
    await stage.becomes(other, waiting, TaskStatus.WAITING)
    await TenantStates(stage.redis, stage.keys, 100).change_state("acme", TenantState.PAUSED)
    await stage.say(third, "say d")
    found = await audit(stage)
    assert found.faults == []
    assert found.places == {
        Place.FINISHED: 1, Place.DEAD: 1, Place.IN_HAND: 1, Place.TURN: 1, Place.WAITING: 1, Place.QUEUED: 1,
    }  # fmt: skip
    assert (found.tasks, found.sessions) == (6, 3)


async def test_a_check_while_work_goes_on_finds_no_violation(stage: Stage) -> None:
    sessions = [await stage.session() for _ in range(8)]
    async with trio.open_nursery() as nursery:
        for session in sessions:
            nursery.start_soon(talk, stage, session)
        while len(nursery.child_tasks) > 0:
            assert (await audit(stage)).faults == []


async def test_a_task_that_is_nowhere_is_put_back_and_runs(stage: Stage) -> None:
    await TenantStates(stage.redis, stage.keys, 100).change_state("acme", TenantState.PAUSED)
    session = await stage.session()
    accepted = await stage.say(session, "say a")
    await stage.redis.delete(stage.keys.lane("acme", Lane.HIGH))
    assert await kinds(stage) == {ViolationKind.LOST}
    assert (await repair(stage)).balances
    await TenantStates(stage.redis, stage.keys, 100).change_state("acme", TenantState.ACTIVE)
    await stage.queue.ready.mark("acme")
    assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED


async def test_a_task_that_waits_for_an_answer_and_has_no_moment_is_put_back_and_asks_again(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "tool")
    await stage.becomes(session, accepted, TaskStatus.WAITING)
    task = stage.keys.task("acme", accepted.task_id)
    await stage.redis.hdel(task, "wait:call-1")
    await stage.redis.zrem(stage.keys.delayed("acme"), accepted.task_id)
    assert await kinds(stage) == {ViolationKind.LOST}
    await consistency_checker_of(stage).repair(await audit(stage))
    await stage.turns.have_begun("tool", "tool")
    await stage.becomes(session, accepted, TaskStatus.WAITING)
    assert await stage.redis.hexists(task, "wait:call-1")
    assert await kinds(stage) == set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("concurrency", b"many"),
        ("concurrency", b"-3"),
        ("start_rate", b"\xff"),
        ("rate", b"inf"),
        ("sessions", b"1e999"),
        ("state", b"sleeping"),
        ("tier", b"gold"),
        ("fair_users", b"yes"),
        ("drain_deadline", b"soon"),
        ("model:tokens_day:large", b"x"),
        ("weight", b"0"),
    ],
)
async def test_a_wrong_value_of_a_configuration_counts_as_absent_is_told_and_removed(
    stage: Stage, field: str, value: bytes
) -> None:
    session = await stage.session()
    await stage.redis.hset(stage.keys.tenant_config("acme"), mapping={field: value, "queue_length": b"50"})
    if field == "weight":
        await stage.redis.hset(stage.keys.weights, "acme", value)
    states = TenantStates(stage.redis, stage.keys, 100)
    shown = await states.show("acme")
    assert (shown.state, shown.limits.queue_length, shown.weight) == (TenantState.ACTIVE, 50, 1.0)
    assert str(shown.damage).startswith(field)
    assert (await stage.ended(session, await stage.say(session, "say a"))).status is TaskStatus.COMPLETED
    [fault] = (await audit(stage)).faults
    assert (fault.kind, fault.subject) == (ViolationKind.CONFIG_DAMAGED, field)
    assert (await repair(stage)).balances
    assert await stage.redis.hgetall(stage.keys.tenant_config("acme")) == {b"queue_length": b"50"}
    assert (await states.show("acme")).damage is None


async def test_a_weight_that_the_scheduler_can_not_read_is_told_and_removed(idle: Stage) -> None:
    await idle.session()
    await idle.redis.hset(idle.keys.weights, "acme", "heavy")
    assert await kinds(idle) == {ViolationKind.CONFIG_DAMAGED}
    assert (await repair(idle)).balances
    assert not await idle.redis.hexists(idle.keys.weights, "acme")


async def test_fields_of_a_newer_version_are_no_damage(idle: Stage) -> None:
    await idle.session()
    await idle.redis.hset(idle.keys.tenant_config("acme"), mapping={"colour": "blue", "model:colour:large": "red"})
    assert await kinds(idle) == set()


async def test_a_lost_turn_of_a_busy_session_goes_behind_the_active_one(idle: Stage) -> None:
    session = await idle.session()
    await idle.say(session, "say a")
    second = await idle.say(session, "say b")
    await idle.redis.delete(idle.keys.turns("acme", session.session_id))
    assert await kinds(idle) == {ViolationKind.LOST}
    assert (await repair(idle)).balances
    assert await idle.redis.lrange(idle.keys.turns("acme", session.session_id), 0, -1) == [second.task_id.encode()]


async def test_a_lost_wake_up_is_noticed_and_given(idle: Stage) -> None:
    session = await idle.session()
    await idle.say(session, "say a")
    await idle.redis.delete(idle.keys.ready)
    assert await kinds(idle) == {ViolationKind.NOT_WOKEN}
    assert (await repair(idle)).balances


async def test_a_session_whose_task_has_ended_goes_on_with_its_next_turn(idle: Stage) -> None:
    session = await idle.session()
    first, second = await idle.say(session, "say a"), await idle.say(session, "say b")
    await idle.redis.hset(idle.keys.task("acme", first.task_id), "status", "completed")
    assert await kinds(idle) == {ViolationKind.LEFT_IN_LANE, ViolationKind.ACTIVE_ENDED}
    assert (await repair(idle)).balances
    seen = await idle.sessions.get(context(), session.session_id)
    assert (seen.active_task_id, seen.state) == (second.task_id, SessionState.PROCESSING)


async def test_a_session_that_waits_for_nothing_becomes_active_and_says_so(idle: Stage) -> None:
    session = await idle.session()
    await idle.redis.hset(idle.keys.session("acme", session.session_id), "state", "PROCESSING")
    assert await kinds(idle) == {ViolationKind.STUCK_PROCESSING}
    assert (await repair(idle)).balances
    assert (await idle.event_names(session))[-1] == "session.state_update(ACTIVE)"


@pytest.mark.parametrize("turns", [["say a"], ["say a", "say b", "say c"]])
async def test_a_queued_task_that_its_session_has_forgotten_becomes_its_active_one_again(
    redis_url: str, turns: list[str]
) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        accepted = [await stage.say(session, turn) for turn in turns]
        await stage.redis.hdel(stage.keys.session("acme", session.session_id), "active_task_id")
        assert ViolationKind.NOT_ACTIVE in await kinds(stage)
        repaired = await consistency_checker_of(stage).repair(await audit(stage))
        assert [fault.kind for fault in repaired.faults if fault.mended] == [ViolationKind.NOT_ACTIVE]
        assert (await audit(stage)).faults == []
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.consumer.run, stage.stopping)
            await stage.ended(session, accepted[-1])
            nursery.cancel_scope.cancel()
        assert stage.turns.began == turns


async def test_a_second_task_beside_the_active_one_is_left_to_an_operator(idle: Stage) -> None:
    session, other = await idle.session(), await idle.session()
    await idle.say(session, "say a")
    stranger = await idle.say(other, "say b")
    await idle.redis.hset(idle.keys.session("acme", other.session_id), "active_task_id", "another")
    await idle.redis.hset(idle.keys.task("acme", "another"), mapping={"status": "pending", "task_id": "another"})
    repaired = await consistency_checker_of(idle).repair(await audit(idle))
    [fault] = [fault for fault in repaired.faults if fault.kind is ViolationKind.NOT_ACTIVE]
    assert (fault.subject, fault.mended) == (stranger.task_id, False)


async def test_leftovers_in_index_and_delays_are_taken_out(idle: Stage) -> None:
    await idle.session()
    await idle.redis.zadd(idle.keys.task_index("acme"), {"gone": 1})
    await idle.redis.zadd(idle.keys.delayed("acme"), {"gone-too": 1})
    assert await kinds(idle) == {ViolationKind.LEFT_IN_INDEX, ViolationKind.LEFT_DELAYED, ViolationKind.NOT_TIMED}
    assert (await repair(idle)).balances


async def test_an_entry_without_record_goes_to_the_dead_letters(idle: Stage) -> None:
    await idle.session()
    await idle.redis.xadd(idle.keys.lane("acme", Lane.NORMAL), {"task_id": "nobody", "message": "{}"})
    await idle.queue.ready.mark("acme")
    assert await kinds(idle) == {ViolationKind.ENTRY_UNRECORDED}
    assert (await repair(idle)).balances
    assert await idle.redis.xlen(idle.keys.dead_letters("acme")) == 1


async def test_a_dead_letter_keeps_only_the_beginning_of_a_large_entry(idle: Stage) -> None:
    await idle.session()
    written = {"task_id": "a" * 1_000_000, "message": "b" * 1_000_000}
    await idle.redis.xadd(idle.keys.lane("acme", Lane.NORMAL), dict(written))
    await idle.queue.ready.mark("acme")
    assert (await repair(idle)).balances
    [(_, letter)] = await idle.redis.xrange(idle.keys.dead_letters("acme"))
    assert (letter[b"task_id"], letter[b"message"]) == (b"a" * 200, b"b" * 4096)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("error", [3, -1])
async def test_a_wrong_offset_is_mended_so_that_none_is_used_twice_in_one_epoch(
    idle: Stage, error: int, *, packed: bool
) -> None:
    session = await idle.session()
    log, name = idle.stores.events, session.session_id
    if packed:
        await idle.tasks.cancel(context(), (await idle.say(session, "say a")).task_id)
        assert await idle.stores.packing.pack("acme", [], [name])
    else:
        await idle.say(session, "say a")
    offset, epoch = await log.head("acme", name)
    used = {(epoch, one.offset) for one in await log.read("acme", name, after=0)}
    await idle.redis.hincrby(idle.keys.session("acme", name), "offset", error)
    # What a follower may have seen while the record counted too many.
    used |= {(epoch, number) for number in range(1, offset + max(0, error) + 1)}
    found = await consistency_checker_of(idle).repair(await audit(idle))
    assert [(fault.kind, fault.mended) for fault in found.faults] == [(ViolationKind.WRONG_OFFSET, True)]
    assert (await log.head("acme", name))[0] == offset
    await idle.say(session, "say b")
    events = await log.read("acme", name, after=offset)
    assert [event.offset for event in events] == list(range(offset + 1, offset + len(events) + 1))
    assert not used & {(event.epoch, event.offset) for event in events}
    assert ((await log.head("acme", name))[1] == epoch) is (error < 0)
    assert (await audit(idle)).balances


async def test_a_violation_is_repaired_only_if_it_still_holds(idle: Stage) -> None:
    session = await idle.session()
    await idle.say(session, "say a")
    await idle.redis.hset(idle.keys.session("acme", session.session_id), "active_task_id", "gone")
    stale = await audit(idle)
    again = await consistency_checker_of(idle).repair(stale)
    assert any(fault.mended for fault in again.faults)
    assert not any(
        fault.mended
        for fault in (await consistency_checker_of(idle).repair(stale)).faults
        if fault.kind is ViolationKind.ACTIVE_ENDED
    )


async def test_all_of_long_lists_of_dead_letters_and_parked_tasks_is_looked_at(stage: Stage) -> None:
    session = await stage.session()
    await stage.ended(session, await stage.say(session, "crash"))
    dead_letters, parked = stage.keys.dead_letters("acme"), stage.keys.parked("acme")
    [(_, letter)] = await stage.redis.xrange(dead_letters)
    await stage.redis.delete(dead_letters)
    await stage.redis.gather([("XADD", dead_letters, "*", "task_id", "gone", "message", "m") for _ in range(120)])
    await stage.redis.xadd(dead_letters, letter)
    await stage.redis.gather([("XADD", parked, "*", "task_id", f"stranger-{number}") for number in range(450)])
    found = await audit(stage)
    assert found.places == {Place.DEAD: 1}
    assert len([fault for fault in found.faults if fault.kind is ViolationKind.LEFT_IN_LIST]) == 450
