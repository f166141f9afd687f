"""Plans at work."""

import math
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from orchestrator.domain.plans.conditions import MOST_COMPARED
from orchestrator.errors import (
    BadGateway,
    CallTimeout,
    FencedOut,
    NotFound,
    PayloadTooLarge,
    PlanTimeout,
    ServiceUnreachable,
    Unprocessable,
)
from orchestrator.models.plans.orchestration import OnFailure, OrchestrationPlan, Strategy
from orchestrator.models.plans.plan_state import CallState
from orchestrator.models.tasks.task import TaskStatus
from orchestrator.services.plans.call_executor import PlanDone, PlanUndone, PlanWaiting
from orchestrator.services.plans.plan_runner import PlanRunner
from tests.services.plans.planned import FakeExecutor, FakePlanAttempt, a_plan, step

MANY = list(range(MOST_COMPARED + 1))
DONE = {"status": "completed", "result": {"late": True}}


async def run(
    plan: OrchestrationPlan, executor: FakeExecutor, attempt: FakePlanAttempt | None = None
) -> PlanDone | PlanWaiting | PlanUndone:
    return await PlanRunner(executor).run(plan, {"x": 1}, attempt or FakePlanAttempt())


async def test_calls_run_as_soon_as_what_they_depend_on_is_done(autojump_clock: MockClock) -> None:
    executor = FakeExecutor(takes={"a": 1, "b": 2, "c": 1, "d": 1})
    outcome = await run(a_plan(a=step(), b=step(), c=step("a"), d=step("a", "b", "c")), executor)
    assert trio.current_time() == pytest.approx(3)
    assert executor.ended[-1] == "d"
    assert isinstance(outcome, PlanDone)
    assert list(outcome.results) == ["a", "b", "c", "d"]
    assert outcome.status is TaskStatus.COMPLETED


async def test_a_sequential_plan_runs_one_call_at_a_time_as_written(autojump_clock: MockClock) -> None:
    executor = FakeExecutor(takes={"b": 1, "a": 1})
    await run(a_plan(strategy=Strategy.SEQUENTIAL, b=step(), a=step()), executor)
    assert executor.ended == ["b", "a"]
    assert trio.current_time() == pytest.approx(2)


async def test_parameters_take_from_the_input_and_from_earlier_results() -> None:
    executor = FakeExecutor()
    later = step("a", parameters={"x": "$.input.x", "of": ["$.calls.a.result.of"]})
    await run(a_plan(a=step(), b=later), executor)
    assert executor.parameters("b") == {"x": 1, "of": ["a"]}


async def test_a_result_is_kept_before_anything_that_depends_on_it_begins(autojump_clock: MockClock) -> None:
    attempt = FakePlanAttempt(slowness=1)
    executor = FakeExecutor(takes={"b": 0.5})
    plan = a_plan(a=step(), b=step(), c=step("a"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, plan, executor, attempt)
        await trio.sleep(0.9)
        assert sorted(executor.begun) == ["a", "b"]
        await trio.sleep(0.2)
        assert attempt.kept.keys() == {"a"}
        assert "c" in executor.begun


async def test_each_call_has_an_idempotency_key_of_task_call_and_version() -> None:
    executor = FakeExecutor()
    await run(a_plan(a=step()), executor)
    assert executor.calls[0].context.idempotency_key == "task-1:a:1"


async def test_a_call_whose_condition_is_false_is_left_out_and_what_hangs_on_it_alone() -> None:
    attempt = FakePlanAttempt()
    executor = FakeExecutor()
    plan = a_plan(
        yes=step(when={"equals": ["$.input.x", 1]}),
        no=step(when={"equals": ["$.input.x", 2]}),
        after_no=step("no"),
        needs_no=step("yes", "no", parameters={"of": "$.calls.no.result.of"}),
        join=step("yes", "no", parameters={"of": "$.calls['yes','no'].result.of"}),
    )
    outcome = await run(plan, executor, attempt)
    assert isinstance(outcome, PlanDone)
    assert outcome.skipped == ["no", "after_no", "needs_no"]
    assert executor.parameters("join") == {"of": ["yes"]}
    assert outcome.status is TaskStatus.COMPLETED
    assert attempt.states("no") == [CallState.SKIPPED]
    assert max(progress.settled for progress in attempt.told) == 5


async def test_a_condition_that_is_too_costly_fails_its_call_and_names_the_path() -> None:
    when = {"contains": ["$.input.many", -1]}
    executor, plan = FakeExecutor(), a_plan(a=step(when=when, optional=True), b=step())
    with pytest.raises(Unprocessable, match="compares more than") as caught:
        await PlanRunner(executor).run(a_plan(a=step(when=when)), {"many": MANY}, FakePlanAttempt())
    assert [fault.path for fault in caught.value.details] == ["$.plan.calls.a.when", "$.plan.calls.a"]
    outcome = await PlanRunner(executor).run(plan, {"many": MANY}, FakePlanAttempt())
    assert isinstance(outcome, PlanDone)
    assert list(outcome.failed) == ["a"]
    assert executor.ended == ["b"]


async def test_other_tasks_run_between_the_conditions_of_a_plan() -> None:
    many: dict[str, Any] = {f"c{number}": step(when={"contains": ["$.input.many", -1]}) for number in range(20)}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await PlanRunner(FakeExecutor()).run(a_plan(**many), {"many": MANY[:1000]}, FakePlanAttempt())
        assert turns >= len(many)
        nursery.cancel_scope.cancel()


async def test_a_failed_call_ends_the_plan_and_its_siblings() -> None:
    executor = FakeExecutor(fails={"a": BadGateway("nonsense", service="x")}, takes={"b": math.inf})
    with pytest.raises(BadGateway, match="nonsense") as caught:
        await run(a_plan(a=step(), b=step()), executor)
    assert [(one.path, one.message) for one in caught.value.details] == [
        ("$.plan.calls.a", "failed with ORCH_CONN_002")
    ]
    assert executor.ended == []


async def test_a_reference_that_leads_to_nothing_fails_its_call_and_names_the_path() -> None:
    with pytest.raises(Unprocessable, match=r"\$\.input\.nobody leads to nothing") as caught:
        await run(a_plan(a=step(parameters={"y": "$.input.nobody"})), FakeExecutor())
    assert [fault.path for fault in caught.value.details] == ["$.input.nobody", "$.plan.calls.a"]


async def test_an_optional_call_that_fails_is_told_and_gone_on_without() -> None:
    executor = FakeExecutor(fails={"a": NotFound("no such thing")})
    plan = a_plan(
        a=step(optional=True),
        b=step("a"),
        c=step("a", parameters={"of": "$.calls.a.result.of"}),
        d=step("a", when={"equals": ["$.calls.a.error.code", "ORCH_NOTF_001"]}),
    )
    outcome = await run(plan, executor)
    assert isinstance(outcome, PlanDone)
    assert outcome.status is TaskStatus.PARTIAL
    assert outcome.failed["a"].message == "no such thing"
    assert outcome.skipped == ["c"]
    assert set(outcome.results) == {"b", "d"}


async def test_a_partial_plan_goes_on_with_what_does_not_depend_on_the_failed_call() -> None:
    executor = FakeExecutor(fails={"a": BadGateway("x")})
    outcome = await run(a_plan(OnFailure.PARTIAL, a=step(), b=step("a"), c=step(), d=step("c")), executor)
    assert isinstance(outcome, PlanDone)
    assert (outcome.status, set(outcome.results), outcome.skipped) == (TaskStatus.PARTIAL, {"c", "d"}, ["b"])


async def test_a_partial_plan_of_which_nothing_was_done_has_failed() -> None:
    with pytest.raises(BadGateway):
        await run(a_plan(OnFailure.PARTIAL, a=step(), b=step("a")), FakeExecutor(fails={"a": BadGateway("x")}))


async def test_a_plan_ends_at_its_deadline(autojump_clock: MockClock) -> None:
    with pytest.raises(PlanTimeout, match="5000 ms"):
        await run(a_plan(a=step()), FakeExecutor(takes={"a": math.inf}))
    assert trio.current_time() == pytest.approx(5)


async def test_a_call_that_times_out_with_its_plan_is_the_plans_timeout(autojump_clock: MockClock) -> None:
    executor = FakeExecutor(takes={"a": 5}, fails={"a": CallTimeout("late")})
    with pytest.raises(PlanTimeout):
        await run(a_plan(a=step()), executor)


async def test_results_are_bounded_together() -> None:
    big = step(parameters={"x": "y" * 600_000})
    with pytest.raises(PayloadTooLarge):
        await run(a_plan(a=big, b=big), FakeExecutor())


async def test_parameters_are_bounded_with_what_their_references_stand_for() -> None:
    twice = step("a", parameters={"x": ["$.calls.a.result.x", "$.calls.a.result.x"]})
    with pytest.raises(PayloadTooLarge, match="parameters"):
        await run(a_plan(a=step(parameters={"x": "y" * 600_000}), b=twice), FakeExecutor())


async def test_a_fenced_attempt_tells_nothing_more() -> None:
    with pytest.raises(FencedOut):
        await run(a_plan(a=step(), b=step()), FakeExecutor(), FakePlanAttempt(fenced=True))


async def test_after_a_crash_the_plan_goes_on_from_what_is_kept() -> None:
    first = FakePlanAttempt(checkpoints={"a": {"state": "done", "result": {"of": "a"}, "nth": 1}})
    executor = FakeExecutor()
    outcome = await run(a_plan(a=step(), b=step("a", parameters={"y": "$.calls.a.result.of"})), executor, first)
    assert executor.begun == ["b"]
    assert isinstance(outcome, PlanDone)
    assert outcome.results == {"a": {"of": "a"}, "b": {"of": "b", "y": "a"}}


async def test_a_call_that_waits_lets_the_rest_run_and_is_asked_again_with_its_answer() -> None:
    plan = a_plan(a=step(), b=step(), c=step("a", "b", parameters={"late": "$.calls.b.result.late"}))
    first, executor = FakePlanAttempt(), FakeExecutor(waits=frozenset({"b"}))
    outcome = await run(plan, executor, first)
    assert isinstance(outcome, PlanWaiting)
    assert [wait.call_id for wait in outcome.waits] == ["b"]
    assert executor.ended == ["a"]
    assert first.states("b") == [CallState.RUNNING, CallState.WAITING]
    second = first.next_attempt(b=DONE)
    outcome = await run(plan, executor, second)
    assert isinstance(outcome, PlanDone)
    assert executor.begun[2:] == ["b", "c"]
    assert executor.parameters("c") == {"late": True}


async def test_one_of_several_answers_is_enough_to_go_on() -> None:
    plan = a_plan(a=step(), b=step(), c=step("a"))
    executor = FakeExecutor(waits=frozenset({"a", "b"}))
    first = FakePlanAttempt()
    await run(plan, executor, first)
    outcome = await run(plan, executor, first.next_attempt(a=DONE))
    assert isinstance(outcome, PlanWaiting)
    assert [wait.call_id for wait in outcome.waits] == ["b"]
    assert 59_000 < outcome.waits[0].timeout_ms <= 60_000
    assert "c" in executor.ended
    assert executor.begun.count("b") == 1


async def test_what_is_done_is_undone_in_reverse_when_a_call_fails(autojump_clock: MockClock) -> None:
    executor = FakeExecutor(fails={"d": BadGateway("x")}, takes={"slow": 2})
    plan = a_plan(
        OnFailure.COMPENSATE,
        a=step(undo=True),
        b=step("a", undo=True),
        c=step("b"),
        d=step("c"),
        slow=step(undo=True),
        never=step("slow"),
    )
    attempt = FakePlanAttempt()
    outcome = await run(plan, executor, attempt)
    assert isinstance(outcome, PlanUndone)
    assert isinstance(outcome.error, BadGateway)
    assert executor.ended == ["a", "b", "c", "slow", "undo:slow", "undo:b", "undo:a"]
    assert (outcome.undone, outcome.left) == (["slow", "b", "a"], {})
    assert attempt.states("a")[-1] is CallState.UNDONE


async def test_what_can_t_be_undone_is_left_and_told_and_the_rest_is_undone() -> None:
    executor = FakeExecutor(fails={"c": BadGateway("x"), "undo:b": ServiceUnreachable("away")})
    attempt = FakePlanAttempt()
    plan = a_plan(OnFailure.COMPENSATE, a=step(undo=True), b=step("a", undo=True), c=step("b"))
    outcome = await run(plan, executor, attempt)
    assert isinstance(outcome, PlanUndone)
    assert (outcome.undone, set(outcome.left)) == (["a"], {"b"})
    assert [(one.path, one.message) for one in outcome.error.details] == [
        ("$.plan.calls.c", "failed with ORCH_CONN_002"),
        ("$.plan.calls.b", "is left: away"),
    ]
    assert attempt.states("b")[-1] is CallState.LEFT


async def test_an_interrupted_compensation_goes_on(autojump_clock: MockClock) -> None:
    plan = a_plan(OnFailure.COMPENSATE, a=step(undo=True), b=step("a", undo=True), c=step("b"))
    first = FakePlanAttempt()
    executor = FakeExecutor(fails={"c": BadGateway("x")}, takes={"undo:a": math.inf})
    with trio.move_on_after(1):
        await run(plan, executor, first)
    again = FakeExecutor()
    outcome = await run(plan, again, first.next_attempt())
    assert isinstance(outcome, PlanUndone)
    assert again.begun == ["undo:a"]
    assert outcome.undone == ["b", "a"]
    assert isinstance(outcome.error, BadGateway)


async def test_a_late_plan_is_undone_and_names_calls_of_unknown_outcome(autojump_clock: MockClock) -> None:
    executor = FakeExecutor(takes={"b": math.inf})
    outcome = await run(a_plan(OnFailure.COMPENSATE, a=step(undo=True), b=step("a", undo=True)), executor)
    assert isinstance(outcome, PlanUndone)
    assert isinstance(outcome.error, PlanTimeout)
    assert (outcome.undone, set(outcome.left)) == (["a"], {"b"})
    assert "unknown whether it was done" in outcome.left["b"].message


async def test_an_undoing_that_hangs_is_left_in_the_end(autojump_clock: MockClock) -> None:
    executor = FakeExecutor(fails={"b": BadGateway("x")}, takes={"undo:a": math.inf})
    outcome = await run(a_plan(OnFailure.COMPENSATE, a=step(undo=True), b=step("a")), executor)
    assert isinstance(outcome, PlanUndone)
    assert set(outcome.left) == {"a"}


async def test_an_undoing_may_be_answered_later() -> None:
    plan = a_plan(OnFailure.COMPENSATE, a=step(undo=True), b=step("a"))
    executor = FakeExecutor(fails={"b": BadGateway("x")}, waits=frozenset({"undo:a"}))
    first = FakePlanAttempt()
    outcome = await run(plan, executor, first)
    assert isinstance(outcome, PlanWaiting)
    again = await run(plan, executor, first.next_attempt())
    assert isinstance(again, PlanWaiting)
    assert executor.begun.count("undo:a") == 1
    outcome = await run(plan, executor, first.next_attempt(**{"undo:a": DONE}))
    assert isinstance(outcome, PlanUndone)
    assert outcome.undone == ["a"]
