"""What holds of any plan, whatever fails, waits, or is lost on the way."""

from collections.abc import Mapping
from typing import Any

import trio
from attrs import define, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from orchestrator.codec import unstructure
from orchestrator.errors import BadGateway, OrchestratorError
from orchestrator.models.plans.orchestration import OnFailure, OrchestrationPlan, ServiceCall, Strategy
from orchestrator.services.plans.call_executor import PlanDone, PlannedCall, PlanUndone, PlanWaiting
from orchestrator.services.plans.plan_runner import PlanRunner
from tests.services.plans.planned import Crash, FakeExecutor, FakePlanAttempt, a_plan, step

NAMES = "abcdefg"


@frozen
class Story:
    """A plan, and what happens to it."""

    plan: OrchestrationPlan
    failing: frozenset[str]
    waiting: frozenset[str]
    takes: Mapping[str, float]
    crashes: list[tuple[int, bool]]
    """For each attempt that is lost: after how many checkpoints, and whether the last one was written after all."""


@st.composite
def stories(draw: st.DrawFn) -> Story:
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    calls: dict[str, ServiceCall] = {}
    for name in names:
        before = draw(st.sets(st.sampled_from(sorted(calls)), max_size=3)) if calls else set[str]()
        needed = draw(st.sets(st.sampled_from(sorted(before)), max_size=1)) if before else set[str]()
        calls[name] = step(
            *sorted(before),
            undo=draw(st.booleans()),
            optional=draw(st.booleans()),
            when={"equals": [1, draw(st.sampled_from([1, 1, 1, 2]))]},
            parameters={f"of_{one}": f"$.calls.{one}.result.of" for one in needed},
        )
    plan = a_plan(
        draw(st.sampled_from(OnFailure)),
        draw(st.sampled_from([Strategy.GRAPH, Strategy.SEQUENTIAL])),
        deadline_ms=600_000,
        **calls,
    )
    some = st.frozensets(st.sampled_from(names), max_size=3)
    undoings = frozenset(f"undo:{name}" for name in draw(some))
    takes = {name: draw(st.sampled_from([0.0, 0.5, 1.0])) for name in names}
    crashes = draw(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=4))
    return Story(plan, draw(some) | undoings, draw(some), takes, crashes)


@define
class Witness(FakeExecutor):
    """Makes calls, and sees that none is made that must not be."""

    plan: OrchestrationPlan = field(kw_only=True)
    undone: list[str] = field(factory=list)

    async def perform(self, call: PlannedCall) -> Any:
        assert isinstance(call.run, FakePlanAttempt)
        kept = {**call.run.checkpoints, **call.run.kept}
        assert call.name not in kept
        undoes = call.name.removeprefix("undo:")
        if undoes == call.name:
            assert "undo:" not in kept
            for before in self.plan.calls[call.name].depends_on:
                assert before in kept or self._was_skipped(before, kept)
        else:
            later = [
                name for name, one in kept.items() if name in self.plan.calls and self._is_later(one, kept[undoes])
            ]
            assert all(f"undo:{name}" in kept for name in later if self.plan.calls[name].compensate)
            self.undone.append(undoes)
        return await super().perform(call)

    def _was_skipped(self, name: str, kept: Mapping[str, Any]) -> bool:
        return name not in kept and f"wait:{name}" not in kept and name not in self.begun

    @staticmethod
    def _is_later(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return bool(one["state"] == "done" and one["nth"] > other["nth"])


async def live(story: Story, crashes: list[tuple[int, bool]]) -> tuple[Any, FakePlanAttempt]:
    """Run a plan to its end; returns how it ended."""
    fails: dict[str, OrchestratorError] = {name: BadGateway(name) for name in story.failing}
    executor = Witness(fails, story.takes, story.waiting, plan=story.plan)
    attempt = FakePlanAttempt()
    rest = list(crashes)
    for _ in range(40):
        attempt.writes_left, attempt.lost_after = rest.pop(0) if rest else (None, False)
        answers = {}
        try:
            outcome = await PlanRunner(executor).run(story.plan, {}, attempt)
        except Crash:
            pass
        except OrchestratorError as error:
            return error.message, attempt
        else:
            if not isinstance(outcome, PlanWaiting):
                return outcome, attempt
            answers = {outcome.waits[0].call_id: {"status": "completed", "result": {"of": outcome.waits[0].call_id}}}
        attempt = attempt.next_attempt(**answers)
    raise AssertionError("The plan never ends.")


def end(story: Story, crashes: list[tuple[int, bool]]) -> tuple[Any, FakePlanAttempt]:
    return trio.run(live, story, crashes, clock=MockClock(autojump_threshold=0))


@given(stories())
@settings(max_examples=100)
def test_a_plan_ends_the_same_however_often_its_workers_are_lost(story: Story) -> None:
    smooth, _ = end(story, [])
    rough, _ = end(story, story.crashes)
    assert type(rough) is type(smooth)
    if isinstance(smooth, PlanDone):
        assert unstructure(rough) == unstructure(smooth)
    elif isinstance(smooth, str):
        assert story.plan.on_failure is not OnFailure.COMPENSATE
        assert {smooth, rough} <= story.failing


@given(stories())
@settings(max_examples=100)
def test_completed_calls_are_undone_or_reported_as_left(story: Story) -> None:
    outcome, attempt = end(story, story.crashes)
    kept = {**attempt.checkpoints, **attempt.kept}
    done = [name for name in story.plan.calls if kept.get(name, {}).get("state") == "done"]
    if isinstance(outcome, PlanUndone):
        undoable = {name for name in done if story.plan.calls[name].compensate}
        assert undoable == {*outcome.undone, *outcome.left}
        order = [kept[name]["nth"] for name in outcome.undone]
        assert order == sorted(order, reverse=True)
        assert {name for name in outcome.left if f"undo:{name}" in kept} == set(outcome.left)
        assert set(outcome.left) <= {name.removeprefix("undo:") for name in story.failing}
    elif isinstance(outcome, PlanDone):
        assert set(done) == set(outcome.results)
        assert {*outcome.results, *outcome.failed, *outcome.skipped} == set(story.plan.calls)
