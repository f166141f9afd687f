"""How busy an event loop is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from orchestrator.telemetry.loop_lag import LoopClock, LoopTime


@contextmanager
def measured() -> Iterator[LoopClock]:
    clock = LoopClock()
    trio.lowlevel.add_instrument(clock)
    try:
        yield clock
    finally:
        trio.lowlevel.remove_instrument(clock)


async def test_a_loop_that_only_waits_is_idle() -> None:
    with measured() as clock:
        before = clock.read()
        await trio.sleep(0.1)
        assert clock.read().busy_since(before) < 0.5


async def test_a_loop_that_always_has_a_task_to_run_is_busy() -> None:
    with measured() as clock:
        before = clock.read()
        until = time.perf_counter() + 0.05
        while time.perf_counter() < until:
            await trio.lowlevel.checkpoint()
        assert clock.read().busy_since(before) > 0.9


def test_the_share_stays_one_whatever_the_clock_says() -> None:
    assert LoopTime(1.0, 5.0).busy_since(LoopTime(0.0, 0.0)) == 0.0
    assert LoopTime(1.0, 0.0).busy_since(LoopTime(1.0, 0.0)) == 0.0
    assert LoopTime(2.0, 0.0).busy_since(LoopTime(1.0, 1.0)) == 1.0
