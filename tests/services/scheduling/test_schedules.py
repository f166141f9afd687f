"""Schedules, messages for later, and tasks that must not be doubled."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from attrs import evolve, frozen

from orchestrator.errors import IdempotencyKeyReused, NotFound, QueueFull, Unprocessable
from orchestrator.models.common.principal import Role
from orchestrator.models.common.timestamps import from_timestamp, to_timestamp
from orchestrator.models.sessions.chat import ChatTurn, IfBusy
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.schedule import MissedRuns, Schedule, ScheduleCreate, ScheduleUpdate, SessionPolicy
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.queue.worker.timers import run_timers
from orchestrator.services.scheduling.schedule_runner import ScheduleRunner
from orchestrator.services.scheduling.schedules import ScheduleService
from orchestrator.store.limit_defaults import LimitDefaults
from orchestrator.store.operations.audit import AuditTrail
from orchestrator.store.scheduling.schedules import ScheduleStore
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import PATIENCE, eventually

EVERY_MINUTE = ScheduleCreate("* * * * *", "echo", "say hi")


@frozen
class Planned:
    """Schedules over a stage; time passes for them by hand."""

    stage: Stage
    store: ScheduleStore
    service: ScheduleService
    runner: ScheduleRunner

    async def create(self, request: ScheduleCreate = EVERY_MINUTE, **fields: Any) -> Schedule:
        return (await self.service.create(context(**fields), request))[0]

    async def make_due(self, schedule: Schedule, late_ms: int = 1) -> int:
        """Let the next run of a schedule be due since so many ms."""
        moment = await self.store.now_ms() - late_ms
        keys, schedule_id = self.stage.keys, schedule.schedule_id
        await self.stage.redis.hset(keys.schedule("acme", schedule_id), mapping={"next_at": moment})
        await self.stage.redis.zadd(keys.schedules_due("acme"), {schedule_id: moment})
        return moment

    async def end_lease(self, schedule: Schedule) -> None:
        """Let the process that took a schedule be late."""
        await self.stage.redis.zadd(self.stage.keys.schedules_due("acme"), {schedule.schedule_id: 1})

    async def again(self, schedule: Schedule) -> Schedule:
        return await self.service.get(context(), schedule.schedule_id)

    async def tasks(self) -> int:
        return int(await self.stage.redis.zcard(self.stage.keys.task_index("acme")))

    async def sessions(self) -> int:
        return int(await self.stage.redis.zcard(self.stage.keys.sessions("acme")))


def plan(stage: Stage, limit: int = 1000) -> Planned:
    limits = LimitDefaults.of(evolve(SETTINGS, schedules=limit))
    store = ScheduleStore(stage.redis, stage.keys, SETTINGS.event_log_length, limits)
    service = ScheduleService(store, stage.queue.due, AuditTrail(stage.redis, stage.keys))
    return Planned(stage, store, service, ScheduleRunner(store, stage.sessions, stage.chat))


@pytest.fixture
async def planned(redis_url: str) -> AsyncIterator[Planned]:
    async with open_stage(redis_url, consume=False) as stage:
        yield plan(stage)


async def test_a_schedule_says_when_it_runs_next(planned: Planned) -> None:
    schedule = await planned.create()
    assert schedule.next_at is not None
    assert 0 < from_timestamp(schedule.next_at) - await planned.store.now_ms() <= 60_000
    assert await planned.stage.redis.zcard(planned.stage.keys.due) == 1


async def test_a_due_schedule_sends_its_message_and_moves_on(planned: Planned) -> None:
    schedule = await planned.create()
    moment = await planned.make_due(schedule)
    following = await planned.runner.run_due("acme")
    after = await planned.again(schedule)
    assert after.next_at is not None
    assert following is not None
    assert (after.last_run_at, after.last_error) == (to_timestamp(moment), None)
    assert await planned.store.now_ms() < from_timestamp(after.next_at)
    task = await planned.stage.tasks.get(context(), str(after.last_task_id))
    assert (task.session_id, task.user_id, task.priority) == (after.session_id, "ann", 5)
    assert await planned.runner.run_due("acme") is not None
    assert await planned.tasks() == 1


async def test_many_processes_run_a_due_schedule_once(planned: Planned) -> None:
    for _ in range(5):
        await planned.make_due(await planned.create())
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(planned.runner.run_due, "acme")
    assert (await planned.tasks(), await planned.sessions()) == (5, 5)


async def test_a_process_that_is_lost_after_sending_is_followed_by_one_that_sends_nothing_twice(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await planned.create()
    await planned.make_due(schedule)

    async def lost(self: ScheduleStore, *_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ScheduleStore, "settle", lost)
        with pytest.raises(KeyboardInterrupt):
            await planned.runner.run_due("acme")
    assert (await planned.again(schedule)).last_run_at is None
    await planned.runner.run_due("acme")
    assert (await planned.again(schedule)).last_run_at is None
    await planned.end_lease(schedule)
    await planned.runner.run_due("acme")
    assert (await planned.again(schedule)).last_run_at is not None
    assert (await planned.tasks(), await planned.sessions()) == (1, 1)


@pytest.mark.parametrize(("missed", "runs"), [(MissedRuns.RUN_ONCE, 1), (MissedRuns.SKIP, 0)])
async def test_runs_that_were_missed_are_made_up_for_once_or_skipped(
    planned: Planned, missed: MissedRuns, runs: int
) -> None:
    schedule = await planned.create(evolve(EVERY_MINUTE, missed=missed))
    await planned.make_due(schedule, late_ms=3 * 3_600_000)
    await planned.runner.run_due("acme")
    assert await planned.tasks() == runs
    after = await planned.again(schedule)
    assert from_timestamp(str(after.next_at)) > await planned.store.now_ms()


async def test_runs_share_a_kept_session_and_one_that_goes_on_is_not_doubled(planned: Planned) -> None:
    schedule = await planned.create(evolve(EVERY_MINUTE, session=SessionPolicy.KEPT))
    for late_ms in (300, 200, 100):
        await planned.make_due(schedule, late_ms)
        await planned.runner.run_due("acme")
    assert (await planned.tasks(), await planned.sessions()) == (1, 1)
    session_id = str((await planned.again(schedule)).session_id)
    await planned.stage.sessions.close(context(), session_id)
    await planned.make_due(schedule)
    await planned.runner.run_due("acme")
    assert (await planned.tasks(), await planned.sessions()) == (2, 2)


async def test_a_run_that_is_refused_says_why_and_the_next_one_comes(planned: Planned) -> None:
    schedule = await planned.create()
    await planned.stage.redis.hset(planned.stage.keys.tenant_config("acme"), mapping={"state": "draining"})
    await planned.make_due(schedule)
    await planned.runner.run_due("acme")
    after = await planned.again(schedule)
    assert str(after.last_error).startswith("ORCH_TENANT_002: ")
    assert after.next_at is not None


async def test_a_paused_schedule_does_not_run_and_goes_on_from_now(planned: Planned) -> None:
    schedule = await planned.create()
    await planned.make_due(schedule)
    paused = await planned.service.update(context(), schedule.schedule_id, ScheduleUpdate(enabled=False))
    assert (paused.enabled, paused.next_at) == (False, None)
    assert await planned.runner.run_due("acme") is None
    resumed = await planned.service.update(context(), schedule.schedule_id, ScheduleUpdate(enabled=True))
    assert from_timestamp(str(resumed.next_at)) > await planned.store.now_ms()
    assert await planned.tasks() == 0


async def test_a_schedule_that_is_changed_or_deleted_while_it_runs_stays_so(planned: Planned) -> None:
    schedule = await planned.create()
    moment = await planned.make_due(schedule)
    yearly = await planned.service.update(context(), schedule.schedule_id, ScheduleUpdate(cron="0 0 1 1 *"))
    assert not await planned.store.settle("acme", schedule.schedule_id, moment, moment + 60_000, {})
    assert (await planned.again(schedule)).next_at == yearly.next_at
    assert (await planned.service.delete(context(), schedule.schedule_id)).deleted
    assert not await planned.store.settle("acme", schedule.schedule_id, moment, moment + 60_000, {})
    with pytest.raises(NotFound):
        await planned.again(schedule)
    assert await planned.runner.run_due("acme") is None


async def test_schedules_of_others_are_not_there_but_for_operators(planned: Planned) -> None:
    schedule = await planned.create()
    for other in (context(user="bob"), context(tenant="globex")):
        with pytest.raises(NotFound):
            await planned.service.get(other, schedule.schedule_id)
        assert (await planned.service.list(other, limit=10)).items == []
    operator = context(user="eve", role=Role.OPERATOR)
    assert (await planned.service.list(operator, limit=10)).items == [schedule]


async def test_a_list_goes_on_where_its_page_ended(planned: Planned) -> None:
    created = [await planned.create() for _ in range(5)]
    first = await planned.service.list(context(), limit=3)
    second = await planned.service.list(context(), limit=3, cursor=first.next_cursor)
    ids = [one.schedule_id for one in (*first.items, *second.items)]
    assert sorted(ids) == sorted(one.schedule_id for one in created)
    assert second.next_cursor is None


async def test_the_same_request_twice_makes_one_schedule(planned: Planned) -> None:
    ctx = context(idempotency_key="k1")
    first, _ = await planned.service.create(ctx, EVERY_MINUTE)
    again, replayed = await planned.service.create(ctx, EVERY_MINUTE)
    assert (again.schedule_id, replayed) == (first.schedule_id, True)
    with pytest.raises(IdempotencyKeyReused):
        await planned.service.create(ctx, evolve(EVERY_MINUTE, content="say bye"))


async def test_a_tenant_has_so_many_schedules_and_no_more(planned: Planned) -> None:
    narrow = plan(planned.stage, limit=2)
    await narrow.create()
    await narrow.create()
    with pytest.raises(QueueFull) as caught:
        await narrow.create()
    assert [fault.path for fault in caught.value.details] == ["schedules"]


async def test_the_timers_run_what_is_due(planned: Planned) -> None:
    stage, schedule = planned.stage, await planned.create()
    await planned.make_due(schedule)
    await stage.queue.due.mark("acme", 1)
    ran = trio.Event()

    async def run_due(tenant_id: str) -> int | None:
        moment = await planned.runner.run_due(tenant_id)
        ran.set()
        return moment

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_timers, stage.queue, run_due)
        with trio.fail_after(PATIENCE):
            await ran.wait()
        nursery.cancel_scope.cancel()
    assert (await planned.again(schedule)).last_task_id is not None


# Messages for later


async def later(stage: Stage, ms: int) -> str:
    seconds, _ = await stage.redis.execute_command("TIME")
    return to_timestamp(int(seconds) * 1000 + ms)


async def test_a_message_for_later_waits_delayed_and_is_answered_at_its_moment(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        turn = ChatTurn("say hi", scheduled_for=await later(stage, 1300))
        accepted = (await stage.chat.send(context(), session.session_id, turn)).accepted
        assert accepted.queue_position is None
        assert await stage.redis.zcard(stage.keys.delayed("acme")) == 1
        waiting = await stage.tasks.get(context(), accepted.task_id)
        assert (waiting.status, waiting.scheduled_for) == (TaskStatus.PENDING, turn.scheduled_for)
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.CREATED
        task = await stage.ended(session, accepted)
        assert task.status is TaskStatus.COMPLETED
        assert from_timestamp(str(task.started_at)) >= from_timestamp(str(turn.scheduled_for))
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ACTIVE
        assert "session.state_update(PROCESSING)" in await stage.event_names(session)


async def test_a_message_for_later_takes_its_place_behind_the_turn_that_runs_then(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        turn = ChatTurn("say later", scheduled_for=await later(stage, 1050))
        accepted = (await stage.chat.send(context(), session.session_id, turn)).accepted
        running = await stage.say(session, "hold a")
        delayed = stage.keys.delayed("acme")
        await eventually("the message is due", lambda: stage.redis.zcard(delayed), lambda count: count == 0)
        stage.turns.release.set()
        await stage.ended(session, running)
        await stage.ended(session, accepted)
        assert stage.turns.ended == ["hold a", "say later"]


async def test_a_message_for_later_can_be_cancelled_and_goes_with_its_session(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session, other = await stage.session(), await stage.session()
        turn = ChatTurn("say hi", scheduled_for=await later(stage, 1050))
        accepted = (await stage.chat.send(context(), session.session_id, turn)).accepted
        assert (await stage.chat.cancel(context(), accepted.message_id)).cancelled
        assert await stage.redis.zcard(stage.keys.delayed("acme")) == 0
        orphan = (await stage.chat.send(context(), other.session_id, turn)).accepted
        await stage.sessions.close(context(), other.session_id)
        async with open_stage(redis_url) as process:
            assert (await process.ended(other, orphan)).status is TaskStatus.CANCELLED
            assert process.turns.began == []
        assert await stage.redis.xlen(stage.keys.lane("acme", Lane.HIGH)) == 0


@pytest.mark.parametrize("ms", [-1000, 367 * 86_400_000], ids=["past", "more than a year ahead"])
async def test_a_moment_that_is_past_or_too_far_ahead_is_refused(planned: Planned, ms: int) -> None:
    stage = planned.stage
    session = await stage.session()
    turn = ChatTurn("say hi", scheduled_for=await later(stage, ms))
    with pytest.raises(Unprocessable):
        await stage.chat.send(context(), session.session_id, turn)
    with pytest.raises(Unprocessable):
        await stage.chat.send(context(), session.session_id, evolve(turn, if_busy=IfBusy.REJECT))
    assert await planned.tasks() == 0


async def test_a_task_that_is_not_finished_is_not_doubled(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session, other = await stage.session(), await stage.session()

        async def send(content: str) -> str:
            sent = await stage.chat.send(context(), session.session_id, ChatTurn(content), deduplication_key="report")
            return sent.accepted.task_id

        first = await send("hold a")
        assert await send("say b") == first
        elsewhere = await stage.chat.send(context(), other.session_id, ChatTurn("say c"), deduplication_key="other")
        assert elsewhere.accepted.task_id != first
        stage.turns.release.set()
        await stage.ended(other, elsewhere.accepted)
        await eventually(
            "the first task has ended", lambda: stage.redis.hget(stage.keys.task("acme", first), "finished_at")
        )
        assert await send("say d") != first


async def test_a_schedule_that_is_triggered_runs_at_once_and_goes_on_as_its_cron_says(planned: Planned) -> None:
    schedule = await planned.create()
    before = await planned.service.trigger(context(), schedule.schedule_id)
    assert from_timestamp(before.next_at or "") <= await planned.store.now_ms()
    await planned.runner.run_due("acme")
    after = await planned.service.get(context(), schedule.schedule_id)
    assert after.last_task_id is not None
    assert (after.next_at or "") >= (schedule.next_at or "")
