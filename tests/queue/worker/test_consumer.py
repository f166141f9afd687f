"""The consumer: turns from acceptance to their end."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio
import trio.testing
from attrs import evolve

from orchestrator.errors import FencedOut, NotFound, SessionBusy, SessionClosed
from orchestrator.models.events.events import ToolOutcome, ToolResult, ToolStatus
from orchestrator.models.sessions.chat import ChatAnswer, IfBusy
from orchestrator.models.sessions.session import SessionState
from orchestrator.models.tasks.task import Lane, TaskStatus
from orchestrator.queue.attempts.running_task import RunningTask
from orchestrator.store.tasks.claims import ClaimBatch
from orchestrator.store.tasks.tasks import TaskStore
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import PATIENCE, eventually


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    async with open_stage(redis_url) as stage:
        yield stage


async def queue_is_empty(stage: Stage, tenant: str = "acme") -> bool:
    lengths = [await stage.redis.xlen(stage.keys.lane(tenant, lane)) for lane in Lane]
    return not any(lengths)


async def test_an_accepted_turn_is_answered_and_everything_about_it_is_told_in_order(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "say hello")
    task = await stage.ended(session, accepted)
    assert task.status is TaskStatus.COMPLETED
    assert task.result is not None
    assert task.result["content"] == "hello"
    assert await stage.event_names(session) == [
        "chat.status_update(queued)",
        "session.state_update(PROCESSING)",
        "chat.stream",
        "chat.completed",
        "chat.status_update(completed)",
        "session.state_update(ACTIVE)",
    ]
    assert [event.offset for event in await stage.events(session)] == [1, 2, 3, 4, 5, 6]
    after = await stage.sessions.get(context(), session.session_id)
    assert (after.state, after.active_task_id, after.conversation_id) == (SessionState.ACTIVE, None, "conversation-1")
    assert after.message_count == 1
    assert await queue_is_empty(stage)


async def test_the_conversation_is_kept_for_when_its_service_is_away(stage: Stage) -> None:
    session = await stage.session()
    await stage.ended(session, await stage.say(session, "say hello"))
    recent = await stage.chat.transcripts.recent("acme", session.session_id, 10)
    assert [(message.role, message.content) for message in recent] == [("user", "say hello"), ("assistant", "hello")]


async def test_waiting_gives_the_answer_itself(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "say hello")
    answer = await stage.chat.wait(context(), accepted, 5000)
    assert isinstance(answer, ChatAnswer)
    assert answer.content == "hello"


async def test_waiting_ends_in_time_while_the_work_goes_on(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "hold x")
    assert await stage.chat.wait(context(), accepted, 50) == accepted
    stage.turns.release.set()
    assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED


async def test_turns_of_one_session_run_one_at_a_time_in_the_order_accepted(stage: Stage) -> None:
    session = await stage.session()
    accepted = [await stage.say(session, f"say {number}") for number in range(20)]
    assert [one.queue_position for one in accepted[:1]] == [0]
    await stage.ended(session, accepted[-1])
    contents = [f"say {number}" for number in range(20)]
    assert stage.turns.began == contents
    assert stage.turns.ended == contents


async def test_a_failed_turn_leaves_its_session_in_error_and_a_dead_letter(stage: Stage) -> None:
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "fail"))
    assert task.status is TaskStatus.FAILED
    assert task.error is not None
    assert task.error.code == "ORCH_CONN_002"
    assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ERROR
    assert (await stage.event_names(session))[-3:] == [
        "system.error",
        "chat.status_update(failed)",
        "session.state_update(ERROR)",
    ]
    assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 1
    retry = await stage.ended(session, await stage.say(session, "say again"))
    assert retry.status is TaskStatus.COMPLETED
    assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ACTIVE


async def test_a_bug_in_a_turn_fails_the_turn_and_shows_no_detail(stage: Stage) -> None:
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "crash"))
    assert task.error is not None
    assert task.error.code == "ORCH_SYS_001"
    assert "Zero" not in task.error.message


async def test_a_busy_session_may_refuse(stage: Stage) -> None:
    session = await stage.session()
    await stage.say(session, "hold x")
    with pytest.raises(SessionBusy):
        await stage.say(session, "say y", if_busy=IfBusy.REJECT)
    stage.turns.release.set()


async def test_an_interruption_keeps_what_was_said_and_goes_first(stage: Stage) -> None:
    session = await stage.session()
    first = await stage.say(session, "hold first")
    await stage.turns.running.wait()
    second = await stage.say(session, "say second")
    urgent = await stage.say(session, "say urgent", if_busy=IfBusy.INTERRUPT)
    cancelled = await stage.ended(session, first)
    assert cancelled.status is TaskStatus.CANCELLED
    assert cancelled.result is not None
    assert cancelled.result["content"] == "first"
    await stage.ended(session, second)
    await stage.ended(session, urgent)
    assert stage.turns.ended == ["say urgent", "say second"]
    assert "chat.status_update(interrupted)" in await stage.event_names(session)


async def test_a_queued_turn_is_cancelled_at_once_and_the_next_one_runs(stage: Stage) -> None:
    session = await stage.session()
    await stage.say(session, "hold a")
    second = await stage.say(session, "say b")
    third = await stage.say(session, "say c")
    assert (await stage.chat.cancel(context(), second.message_id)).cancelled
    assert await stage.status(session, second) is TaskStatus.CANCELLED
    stage.turns.release.set()
    await stage.ended(session, third)
    assert stage.turns.ended == ["hold a", "say c"]


async def test_a_running_turn_is_cancelled_and_cancelling_twice_is_fine(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "hold a")
    await stage.turns.running.wait()
    assert (await stage.chat.cancel(context(), accepted.message_id)).cancelled
    assert (await stage.ended(session, accepted)).status is TaskStatus.CANCELLED
    assert not (await stage.chat.cancel(context(), accepted.message_id)).cancelled
    assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ACTIVE
    assert await queue_is_empty(stage)


async def test_a_message_of_another_user_can_not_be_cancelled(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "hold a")
    for other in (context(user="bob"), context(tenant="globex")):
        with pytest.raises(NotFound):
            await stage.chat.cancel(other, accepted.message_id)
    stage.turns.release.set()


async def test_closing_a_session_cancels_all_its_turns_and_refuses_new_ones(stage: Stage) -> None:
    session = await stage.session()
    running = await stage.say(session, "hold a")
    await stage.turns.running.wait()
    queued = await stage.say(session, "say b")
    closed = await stage.sessions.close(context(), session.session_id)
    assert closed.state is SessionState.TERMINATED
    assert (await stage.ended(session, running)).status is TaskStatus.CANCELLED
    assert await stage.status(session, queued) is TaskStatus.CANCELLED
    with pytest.raises(SessionClosed):
        await stage.say(session, "say c")
    assert await queue_is_empty(stage)


async def test_a_turn_that_waits_for_its_client_holds_no_slot(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, concurrency=1)) as stage:
        session, other = await stage.session(), await stage.session()
        accepted = await stage.say(session, "tool")
        await stage.turns.running.wait()
        assert (await stage.ended(other, await stage.say(other, "say x"))).status is TaskStatus.COMPLETED
        assert await stage.status(session, accepted) is TaskStatus.WAITING
        result = ToolResult("call-1", ToolOutcome(ToolStatus.SUCCESS, data="yes"))
        await stage.chat.tool_result(context(), session.session_id, result)
        task = await stage.ended(session, accepted)
        assert task.result is not None
        assert '"data":"yes"' in task.result["content"]
        with pytest.raises(NotFound):
            await stage.chat.tool_result(context(), session.session_id, result)


async def test_a_client_that_does_not_answer_in_time_counts_as_an_error_of_its_tool(stage: Stage) -> None:
    session = await stage.session()
    task = await stage.ended(session, await stage.say(session, "tool 50"))
    assert task.result is not None
    assert "did not answer in time" in task.result["content"]


async def test_a_stop_lets_running_turns_finish(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        accepted = await stage.say(session, "hold a")
        await stage.turns.running.wait()
        stage.stopping.set()
        stage.turns.release.set()
        assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED


async def test_a_stop_hands_back_what_does_not_finish_and_another_process_goes_on(redis_url: str) -> None:
    async with open_stage(redis_url, evolve(SETTINGS, drain_timeout=0.05)) as first:
        session = await first.session()
        accepted = await first.say(session, "hold a")
        await first.turns.running.wait()
        async with open_stage(redis_url, node="second") as second:
            second.turns.release.set()
            first.stopping.set()
            task = await second.ended(session, accepted)
            assert (task.status, task.attempt) == (TaskStatus.COMPLETED, 2)


async def test_the_tasks_of_a_lost_process_are_taken_over_and_its_late_writes_do_not_count(redis_url: str) -> None:
    settings = evolve(SETTINGS, node_timeout=0.6)
    async with open_stage(redis_url, settings, consume=False) as zombie:
        session = await zombie.session()
        accepted = await zombie.say(session, "say a")
        await zombie.queue.nodes.beat("zombie")
        [claim] = (await zombie.queue.tasks.claim("acme", "zombie", 1)).claims
        async with open_stage(redis_url, settings) as alive:
            task = await alive.ended(session, accepted)
            assert (task.status, task.attempt) == (TaskStatus.COMPLETED, 2)
        with pytest.raises(FencedOut):
            await zombie.queue.tasks.emit(claim, session.session_id, 1, "chat.stream", b'{"data":{}}')
        with pytest.raises(FencedOut):
            await zombie.queue.tasks.checkpoint(claim, "execute", {})
        with pytest.raises(FencedOut):
            await zombie.queue.tasks.hand_back(claim)
        assert "chat.completed" in await zombie.event_names(session)


async def test_two_processes_share_the_work_and_keep_the_order_of_every_session(redis_url: str) -> None:
    async with open_stage(redis_url) as one, open_stage(redis_url) as two:
        sessions = [await one.session() for _ in range(8)]
        last = {}
        for number in range(10):
            for index, session in enumerate(sessions):
                sender = (one, two)[number % 2]
                last[index] = await sender.say(session, f"say {index}-{number}")
        for index, session in enumerate(sessions):
            await one.ended(session, last[index])
        ended = one.turns.ended + two.turns.ended
        assert len(ended) == len(set(ended)) == 80
        assert one.turns.ended
        assert two.turns.ended
        for session in sessions:
            contents = [
                message.content for message in await one.chat.transcripts.recent("acme", session.session_id, 100)
            ]
            answers = contents[1::2]
            assert answers == sorted(answers, key=lambda text: int(text.split("-")[1]))


async def test_an_unreadable_entry_becomes_a_dead_letter_and_blocks_nothing(stage: Stage) -> None:
    await stage.redis.sadd(stage.keys.tenants, "acme")
    await stage.redis.xadd(stage.keys.lane("acme", Lane.HIGH), {"what": "is this"})
    await stage.redis.xadd(stage.keys.lane("acme", Lane.HIGH), {"task_id": "unknown", "message": "{"})
    session = await stage.session()
    assert (await stage.ended(session, await stage.say(session, "say a"))).status is TaskStatus.COMPLETED
    assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 2
    assert await queue_is_empty(stage)


async def test_an_idle_session_pauses_and_wakes_up_with_the_next_message(redis_url: str) -> None:
    settings = evolve(SETTINGS, pause_after=60.0, suspend_after=120.0, archive_after=600.0)
    async with open_stage(redis_url, settings) as stage:
        session = await stage.session()
        await stage.ended(session, await stage.say(session, "say a"))
        async with stage.hub.follow("acme", session.session_id) as follower:
            await stage.idles(session)
            await stage.sessions.idle_moves("acme")
            with trio.fail_after(PATIENCE):
                await follower.receive()
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.PAUSED
        await stage.idles(session)
        await stage.sessions.idle_moves("acme")
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.SUSPENDED
        await stage.ended(session, await stage.say(session, "say b"))
        assert (await stage.sessions.get(context(), session.session_id)).state is SessionState.ACTIVE


async def test_work_without_a_wake_up_is_found_by_the_sweep(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        session = await stage.session()
        accepted = await stage.say(session, "say a")
        await stage.redis.delete(stage.keys.ready)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(stage.consumer.run, stage.stopping))
            assert (await stage.ended(session, accepted)).status is TaskStatus.COMPLETED
            nursery.cancel_scope.cancel()


async def test_a_task_of_an_unknown_type_becomes_a_dead_letter(redis_url: str) -> None:
    async with open_stage(redis_url, consume=False) as stage:
        entry = await stage.redis.xadd(stage.keys.lane("acme", Lane.LOW), {"task_id": "t-1", "message": "{}"})
        record = _RECORD_OF_UNKNOWN_TYPE | {"entry": entry}
        await stage.redis.hset(stage.keys.task("acme", "t-1"), mapping=record)
        [claim] = (await stage.queue.tasks.claim("acme", "node", 1)).claims
        await stage.consumer.handler(RunningTask(claim))
        assert (await stage.tasks.get(context(), "t-1")).status is TaskStatus.FAILED
        assert await stage.redis.xlen(stage.keys.dead_letters("acme")) == 1
        assert await queue_is_empty(stage)


_RECORD_OF_UNKNOWN_TYPE = {
    "task_id": "t-1",
    "message": "{}",
    "status": "pending",
    "attempt": 0,
    "lane": "low",
    "priority": 9,
    "type": "tea.brew",
    "created_at": 1_700_000_000_000,
    "user_id": "ann",
    "correlation_id": "c-1",
}


async def test_a_task_claimed_while_a_stop_begins_is_handed_back_with_the_rest(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = TaskStore.claim
    claimed, proceed = trio.Event(), trio.Event()

    async def slow(self: TaskStore, tenant_id: str, node: str, count: int) -> ClaimBatch:
        batch = await claim(self, tenant_id, node, count)
        if batch.claims:
            claimed.set()
            await proceed.wait()
        return batch

    monkeypatch.setattr(TaskStore, "claim", slow)
    async with open_stage(redis_url, evolve(SETTINGS, drain_timeout=0.05), consume=False) as stage:
        session = await stage.session()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(stage.consumer.run, stage.stopping)
                accepted = await stage.say(session, "hold a")
                await claimed.wait()
                stage.stopping.set()
                await trio.testing.wait_all_tasks_blocked(0.1)
                proceed.set()
        assert await stage.status(session, accepted) is TaskStatus.PENDING


async def test_offsets_that_a_failover_gives_again_are_of_another_epoch(stage: Stage) -> None:
    session = await stage.session()
    await stage.ended(session, await stage.say(session, "say one"))
    kept = {key: await stage.redis.dump(key) for key in await stage.redis.keys(f"*{session.session_id}*")}
    before = await stage.log.head("acme", session.session_id)
    await stage.ended(session, await stage.say(session, "say what the replica never had"))
    for key, value in kept.items():
        await stage.redis.restore(key, 0, value, replace=True)
    assert await stage.log.head("acme", session.session_id) == before
    await stage.ended(session, await stage.say(session, "say three"))
    assert (await stage.log.head("acme", session.session_id))[1] != before[1]


async def test_a_message_is_part_of_what_was_said_from_its_acceptance_on(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "hold the door")
    await stage.say(session, "say next")
    page = await stage.chat.transcripts.history(context(), session.session_id, before=None, after=None, limit=10)
    assert [(message.role, message.content) for message in page.items] == [
        ("user", "hold the door"),
        ("user", "say next"),
    ]
    assert page.items[0].message_id == accepted.message_id
    stage.turns.release.set()


async def test_a_snapshot_in_the_middle_of_a_turn_has_its_question_and_what_was_said_so_far(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "hold the door")
    await eventually("it has said something", partial(stage.event_names, session), lambda names: "chat.stream" in names)
    standing = await stage.sessions.get(context(), session.session_id)
    snapshot, waits = await stage.chat.transcripts.snapshot(standing)
    assert [message["content"] for message in snapshot.messages] == ["hold the door"]
    assert (snapshot.active_task_id, snapshot.answer, waits) == (accepted.task_id, "the door", frozenset())
    assert await stage.chat.transcripts.turn_begins(standing) == 0
    stage.turns.release.set()
    await stage.ended(session, accepted)
    assert not await stage.redis.exists(f"{stage.keys.task('acme', accepted.task_id)}:text"), "nothing of it is left"


async def test_a_snapshot_names_the_calls_that_a_turn_waits_for(stage: Stage) -> None:
    session = await stage.session()
    accepted = await stage.say(session, "tool")
    await stage.becomes(session, accepted, TaskStatus.WAITING)
    standing = await stage.sessions.get(context(), session.session_id)
    assert (await stage.chat.transcripts.snapshot(standing))[1] == {"call-1"}


async def test_a_snapshot_keeps_to_its_size(stage: Stage) -> None:
    session = await stage.session()
    for number in range(4):
        await stage.ended(session, await stage.say(session, f"say {number}" + "x" * 70_000))
    snapshot, _ = await stage.chat.transcripts.snapshot(session)
    assert [message["content"][:5] for message in snapshot.messages] == ["2xxxx", "say 3", "3xxxx"]
