"""Slots: how many tasks run at once, by what they do to the event loop."""

import time

import trio
from attrs import define, evolve, field

from orchestrator.domain.tasks.adaptive_limit import FLOOR
from orchestrator.models.sessions.chat import ChatAnswer
from orchestrator.queue.worker.slots import GATHERS, Slots
from orchestrator.services.plans.attempt import Attempt, Partial, TurnDone
from tests.queue.stage import SETTINGS, Stage, context, open_stage
from tests.support.eventually import eventually

PLENTY = evolve(SETTINGS, rate_tenant=1e6, rate_user=1e6, tenant_share=1.0)


@define
class ComputingTurns:
    """Turns that keep the loop busy, in steps; notes how many of them ran at once."""

    steps: int
    running: int = 0
    most: int = 0
    ended: list[str] = field(factory=list)

    async def run(self, run: Attempt, partial: Partial) -> TurnDone:
        """Compute."""
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(self.steps):
            until = time.perf_counter() + 0.001
            while time.perf_counter() < until:
                pass
            await trio.lowlevel.checkpoint()
        self.running -= 1
        self.ended.append(run.message.tenant_id)
        return TurnDone(ChatAnswer(str(run.message.metadata.message_id), "m1", "done"), "conversation-1", "1")


async def flood(stage: Stage, turns: int) -> None:
    """Have turns wait, each of a session of its own."""
    for _ in range(turns):
        await stage.say(await stage.session(), "hold x")


async def test_tasks_that_only_wait_fill_all_slots(redis_url: str) -> None:
    async with open_stage(redis_url, PLENTY) as stage:
        await flood(stage, 100)
        await eventually("a hundred turns run", lambda: len(stage.consumer.running_tasks), lambda count: count == 100)
        assert stage.consumer.meter.read([]).limit == 100
        stage.turns.release.set()
        await eventually("they have ended", lambda: len(stage.turns.ended), lambda count: count == 100)


async def test_tasks_that_compute_share_the_loop_with_few_others_and_let_another_tenant_in(redis_url: str) -> None:
    turns = ComputingTurns(steps=20)
    async with open_stage(redis_url, evolve(PLENTY, tenant_share=0.9), runner=turns, consume=False) as stage:
        await flood(stage, 80)
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.consumer.run, stage.stopping)
            await eventually("some have ended", lambda: len(turns.ended), lambda count: count >= 10)
            other = await stage.session(context("globex"))
            await stage.ended(other, await stage.say(other, "say x"))
            assert turns.ended.index("globex") < 60, "it waited behind the flood"
            await eventually("all have ended", lambda: len(turns.ended), lambda count: count == 81)
            stage.stopping.set()
    assert turns.most <= 20


async def test_without_adaption_all_slots_are_used_whatever_the_tasks_do(redis_url: str) -> None:
    turns = ComputingTurns(steps=5)
    settings = evolve(PLENTY, adaptive_concurrency=False, concurrency=30)
    async with open_stage(redis_url, settings, runner=turns, consume=False) as stage:
        await flood(stage, 40)
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.consumer.run, stage.stopping)
            await eventually("all have ended", lambda: len(turns.ended), lambda count: count == 40)
            stage.stopping.set()
    assert turns.most == 30


async def test_the_limit_rises_as_soon_as_it_keeps_work_waiting_and_tells_so() -> None:
    raised, more = trio.Event(), [True]
    slots = Slots(8, adaptive=True, wanted=lambda: bool(more), raised=raised.set)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.run)
        assert (slots.limit, slots.free) == (FLOOR, FLOOR)
        for _ in range(FLOOR):
            slots.take()
        assert slots.free == 0
        with trio.fail_after(30):
            await raised.wait()
        assert slots.free > 0
        more.clear()
        for _ in range(FLOOR):
            slots.give_back()
        await eventually("the limit is the least again", lambda: slots.limit, lambda limit: limit == FLOOR)
        nursery.cancel_scope.cancel()


def test_few_slots_are_never_exceeded_by_the_least_limit() -> None:
    assert Slots(2, adaptive=True).limit == 2
    assert Slots(100, adaptive=False).limit == 100


def test_free_slots_are_gathered_for_a_claim_only_while_the_loop_is_busy() -> None:
    def worth_a_claim(in_hand: int, busy: float) -> bool:
        slots = Slots(9, adaptive=False)
        slots.busy = busy
        for _ in range(in_hand):
            slots.take()
        return slots.are_worth_a_claim

    assert worth_a_claim(8, GATHERS / 2), "the loop has time for a claim of one task"
    assert not worth_a_claim(8, GATHERS)
    assert not worth_a_claim(6, GATHERS)
    assert worth_a_claim(5, GATHERS)
