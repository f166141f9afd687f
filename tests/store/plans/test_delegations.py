"""Waits for answers: each answer is taken once, from the holder of the token, and never lost."""

from collections.abc import AsyncIterator

import pytest
import trio

from orchestrator.errors import FencedOut
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.common.timestamps import now_ms
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.models.tasks.waits import AnswerStatus, CallAnswer, Taken, Wait, WaitKind
from orchestrator.store.keys import Keys
from orchestrator.store.plans.ownership import Registered
from orchestrator.store.tasks.plain_tasks import TaskEnd
from tests.store.desk import DONE, Desk, a_task, a_wait, open_desk
from tests.support.eventually import redis_clock_passes


@pytest.fixture
async def desk(redis_url: str) -> AsyncIterator[Desk]:
    async with open_desk(redis_url) as desk:
        yield desk


async def test_an_answer_wakes_the_task_that_was_put_aside_for_it(desk: Desk) -> None:
    claim = await desk.begin()
    assert await desk.register(claim)
    assert await desk.park(claim) > 0
    assert await desk.status(claim) is TaskStatus.WAITING
    assert await desk.idle()
    assert await desk.answer(claim) is Taken.TAKEN
    again = await desk.claim()
    assert again.checkpoints() == {"answer:a": {"status": "completed", "result": {"x": 1}, "error": None}}
    assert again.parks == 1


async def test_an_answer_before_the_task_was_put_aside_is_not_lost(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    assert await desk.answer(claim) is Taken.TAKEN
    assert await desk.park(claim) == 0
    assert "answer:a" in (await desk.claim()).checkpoints()


async def test_the_first_answer_counts(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    await desk.answer(claim)
    assert await desk.answer(claim, answer=CallAnswer(AnswerStatus.FAILED)) is Taken.LATE
    again = await desk.claim()
    assert again.checkpoints()["answer:a"]["status"] == "completed"
    assert await desk.idle()


async def test_only_the_token_of_the_task_is_accepted(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    assert await desk.answer(claim, "another") is Taken.REFUSED
    unknown = await desk.delegations.answer("acme", "no-such-task", "t", DONE)
    assert unknown.taken is Taken.UNKNOWN
    elsewhere = await desk.delegations.answer("globex", claim.task_id, "t", DONE)
    assert elsewhere.taken is Taken.UNKNOWN
    assert await desk.status(claim) is TaskStatus.WAITING


async def test_a_client_answers_for_the_tools_that_it_runs_and_for_no_service(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim, a_wait("a"), Wait("b", WaitKind.CLIENT_TOOL, 60_000))
    await desk.redis.hset(Keys().session("acme", "s1"), "active_task_id", claim.task_id)
    told = ("tool.result", b"{}")
    assert not await desk.tasks.answer_tool("acme", "s1", "a", DONE, told)
    assert await desk.status(claim) is TaskStatus.WAITING
    assert await desk.tasks.answer_tool("acme", "s1", "b", DONE, told)
    assert "answer:a" not in (await desk.claim()).checkpoints()


async def test_an_expired_token_is_refused(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim, lifetime_ms=0)
    await desk.park(claim)
    assert await desk.answer(claim) is Taken.REFUSED
    assert await desk.delegations.service_of("acme", claim.task_id, "t") == ""


async def test_a_token_tells_which_service_has_it(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    assert await desk.delegations.service_of("acme", claim.task_id, "t") == "workflow_engine"
    assert await desk.delegations.service_of("acme", claim.task_id, "u") == ""


async def test_an_answer_after_its_time_changes_nothing(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim, a_wait(timeout_ms=0))
    assert await desk.release() == 1
    assert await desk.answer(claim) is Taken.LATE
    answer = (await desk.claim()).checkpoints()["answer:a"]
    assert (answer["status"], answer["error"]["code"]) == ("failed", "ORCH_EXEC_001")


async def test_a_worker_that_was_lost_leaves_the_call_to_the_next_attempt(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.delegations.note_sent(claim, "a", "x1")
    (again,), _, _ = await desk.tasks.take_over("acme", "node-2", 10, gone="node-1")
    with pytest.raises(FencedOut):
        await desk.park(claim)
    with pytest.raises(FencedOut):
        await desk.register(claim, "b")
    assert await desk.register(again, presented="u") is False
    await desk.park(again)
    assert await desk.answer(again) is Taken.TAKEN


async def test_a_call_that_may_not_have_arrived_is_sent_again_and_either_token_is_good(desk: Desk) -> None:
    for presented in ("t", "u"):
        claim = await desk.begin()
        await desk.register(claim)
        (again,), _, _ = await desk.tasks.take_over("acme", "node-2", 10, gone="node-1")
        assert await desk.register(again, presented="u")
        await desk.park(again)
        assert await desk.answer(again, presented) is Taken.TAKEN
        await desk.generic.finish(await desk.claim(), TaskEnd(TaskStatus.COMPLETED), retain_seconds=600)


async def test_the_answer_of_a_lost_worker_is_there_for_the_next_attempt(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    assert await desk.answer(claim) is Taken.TAKEN
    (again,), _, _ = await desk.tasks.take_over("acme", "node-2", 10, gone="node-1")
    assert await desk.register(again, presented="u") is False
    assert "answer:a" in again.checkpoints()


async def test_each_of_several_answers_wakes_the_task_and_the_others_stay_waited_for(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim, "a", "t")
    await desk.register(claim, "b", "u")
    await desk.park(claim, a_wait("a"), a_wait("b", 10_000))
    await desk.answer(claim, "u")
    second = await desk.claim()
    assert [name for name in second.checkpoints() if name.startswith("answer:")] == ["answer:b"]
    moment = await desk.park(second, a_wait("a"))
    assert moment > 0
    await desk.answer(claim, "t")
    third = await desk.claim()
    assert {"answer:a", "answer:b"} <= third.checkpoints().keys()


async def test_a_wait_keeps_its_moment_however_often_the_task_is_put_aside(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim, "b", "u")
    first = await desk.park(claim, a_wait("a", 5_000), a_wait("b"))
    await desk.answer(claim, "u")
    await redis_clock_passes(desk.redis, now_ms() + 1)
    assert await desk.park(await desk.claim(), a_wait("a", 5_000)) == first


async def test_one_answer_that_is_there_releases_a_task_that_waits_for_others_too(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim, "b", "u")
    await desk.answer(claim, "u")
    assert await desk.park(claim, a_wait("a"), a_wait("b")) == 0
    assert not await desk.idle()


async def test_a_cancel_ends_a_waiting_task_at_once_and_a_later_answer_changes_nothing(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.park(claim)
    assert await desk.cancel(claim) == "done"
    assert await desk.status(claim) is TaskStatus.CANCELLED
    assert await desk.answer(claim) is Taken.LATE
    assert await desk.release() == 0
    assert await desk.idle()


async def test_a_task_that_was_asked_to_stop_is_not_put_aside(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    assert await desk.cancel(claim) == "asked"
    assert await desk.park(claim) == 0
    asked = (await desk.claim()).stop_asked
    assert asked is not None
    assert asked.reason == "cancelled"


async def test_a_task_that_ends_before_its_service_leaves_a_cancel_for_it(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    undo = a_task(type=MessageType("delegation", "cancel"), payload={"task_id": claim.task_id}, priority=1)
    await desk.delegations.note_sent(claim, "a", "x1", undo)
    await desk.park(claim)
    await desk.cancel(claim)
    told = await desk.claim()
    assert (told.task_id, told.record[b"type"]) == (undo.task_id, b"delegation.cancel")
    (delegation,) = await desk.delegations.of_task("acme", claim.task_id)
    assert (delegation.service, delegation.execution_id, delegation.ended) == ("workflow_engine", "x1", False)


async def test_a_task_whose_services_have_answered_leaves_no_cancel(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)
    await desk.delegations.note_sent(claim, "a", "x1", a_task())
    await desk.park(claim)
    await desk.answer(claim)
    await desk.generic.finish(await desk.claim(), TaskEnd(TaskStatus.COMPLETED), retain_seconds=600)
    assert await desk.idle()


async def test_a_task_that_has_ended_and_handed_nothing_on_takes_no_news(desk: Desk) -> None:
    claim = await desk.begin()
    assert await desk.delegations.calls_of("acme", claim.task_id, "workflow_engine") == []
    await desk.generic.finish(claim, TaskEnd(TaskStatus.COMPLETED), retain_seconds=600)
    assert await desk.delegations.calls_of("acme", claim.task_id, "workflow_engine") is None


async def test_no_token_is_kept(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim, presented="a-secret-token")
    record = await desk.redis.hgetall(desk.tasks.keys.task("acme", claim.task_id))
    assert not any(b"a-secret-token" in part for pair in record.items() for part in pair)


async def test_progress_is_kept_and_told_until_the_call_is_answered(desk: Desk) -> None:
    claim = await desk.begin()
    await desk.register(claim)

    async def progress(presented: str = "t") -> Taken:
        verdict = await desk.delegations.progress(
            "acme",
            claim.task_id,
            presented,
            b'{"progress":0.5}',
            execution_id="x1",
            session_id="",
            events=[("workflow.status_update", b'{"half":1}')],
        )
        return verdict.taken

    assert await progress() is Taken.TAKEN
    assert await progress("another") is Taken.REFUSED
    record = await desk.redis.hgetall(desk.tasks.keys.task("acme", claim.task_id))
    assert (record[b"progress"], record[b"offset"]) == (b'{"progress":0.5}', b"2")
    (delegation,) = await desk.delegations.of_task("acme", claim.task_id)
    assert delegation.execution_id == "x1"
    run = desk.tasks.keys.owner("acme", Registered.RUN, "x1")
    assert await desk.redis.get(run) == claim.task_id.encode()
    await desk.answer(claim)
    assert await progress() is Taken.LATE


async def test_answers_that_race_with_putting_aside_wake_each_task_exactly_once(desk: Desk) -> None:
    claims = [await desk.begin() for _ in range(20)]
    for claim in claims:
        await desk.register(claim)
    async with trio.open_nursery() as nursery:
        for number, claim in enumerate(claims):
            for work in (desk.park, desk.answer)[:: 1 if number % 2 else -1]:
                nursery.start_soon(work, claim)
            nursery.start_soon(desk.answer, claim)
    woken = (await desk.tasks.claim("acme", "node-1", 100)).claims
    assert sorted(claim.task_id for claim in woken) == sorted(claim.task_id for claim in claims)
    assert all("answer:a" in claim.checkpoints() for claim in woken)
    assert await desk.idle()
    assert await desk.redis.zcard(desk.tasks.keys.delayed("acme")) == 0
