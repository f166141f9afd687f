"""What has ended is packed a moment later."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import trio
from trio.testing import MockClock

from orchestrator.queue.worker.packer import DELAY_SECONDS, RUSH, Packer
from orchestrator.store.tasks.claims import Claim
from tests.queue.stage import Stage, open_stage
from tests.support.eventually import eventually


async def packed(stage: Stage, task_id: str) -> bool:
    return bool(await stage.redis.hexists(stage.keys.task("acme", task_id), "z:0"))


async def test_an_ended_turn_and_its_log_are_packed_a_moment_later(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        turn = await stage.say(session, "say hello")
        await stage.ended(session, turn)
        log = stage.keys.events("acme", session.session_id)
        assert await stage.redis.exists(log)
        await eventually("the record is packed", lambda: packed(stage, turn.task_id))
        await eventually("the log is packed", lambda: stage.redis.exists(log), lambda there: not there)
        assert (await stage.events(session))[-1].name == "session.state_update"


async def test_what_a_worker_puts_aside_is_not_packed_until_it_has_ended(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        waits = await stage.say(session, "tool")
        await eventually(
            "the turn waits", lambda: stage.status(session, waits), lambda status: str(status) == "waiting"
        )
        other = await stage.session()
        turn = await stage.say(other, "say hello")
        await eventually("the other is packed", lambda: packed(stage, turn.task_id))
        assert not await packed(stage, waits.task_id)


async def test_a_busy_event_loop_is_left_to_the_tasks_until_much_waits(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_stage(redis_url) as stage:
        packer = stage.consumer.packer
        monkeypatch.setattr(packer, "busy", lambda: True)
        session = await stage.session()
        turns = [await stage.say(session, f"say {number}") for number in range(3)]
        for turn in turns:
            await stage.ended(session, turn)
        monkeypatch.setattr("orchestrator.queue.worker.packer.MUCH", 1)
        await eventually("two are packed", lambda: packed(stage, turns[1].task_id))
        assert not await packed(stage, turns[2].task_id)
        monkeypatch.setattr(packer, "busy", lambda: False)
        await eventually("the last one is packed", lambda: packed(stage, turns[2].task_id))


class NotedPacking:
    """Notes what it is given to pack."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    async def pack(self, _: str, task_ids: Sequence[str], __: Sequence[str]) -> None:
        """Note it."""
        await trio.lowlevel.checkpoint()
        self.tasks += task_ids


async def test_a_rush_of_ends_passes_first(autojump_clock: MockClock) -> None:
    packing = NotedPacking()
    packer = Packer(SimpleNamespace(packing=packing))  # type: ignore[arg-type] # only the packing of it is used
    async with trio.open_nursery() as nursery:
        await nursery.start(packer.run)
        for number in range(100):
            for place in range(RUSH // 10):
                packer.note(Claim("acme", f"{number}-{place}", 1, {}, None))
            await trio.sleep(0.02)
        assert packing.tasks == []
        await trio.sleep(2 * DELAY_SECONDS)
        assert len(packing.tasks) == 100 * (RUSH // 10)
        nursery.cancel_scope.cancel()


async def test_a_damaged_record_holds_up_no_other(redis_url: str) -> None:
    async with open_stage(redis_url) as stage:
        session = await stage.session()
        broken = await stage.say(session, "say one")
        await stage.ended(session, broken)
        await stage.redis.delete(stage.keys.task("acme", broken.task_id))
        await stage.redis.set(stage.keys.task("acme", broken.task_id), "no record")
        turn = await stage.say(session, "say two")
        await eventually("the other is packed", lambda: packed(stage, turn.task_id))
        await trio.lowlevel.checkpoint()
