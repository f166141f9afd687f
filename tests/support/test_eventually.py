"""The wait of all tests, on a clock that jumps."""

import pytest
import trio
from trio.testing import MockClock

from tests.support.eventually import eventually


async def test_what_holds_at_last_is_returned(autojump_clock: MockClock) -> None:
    seen = iter([0, 1, 2, 3])
    assert await eventually("it counts to two", lambda: next(seen), lambda count: count == 2) == 2
    assert next(seen) == 3


async def test_a_state_may_be_read_by_an_async_function(autojump_clock: MockClock) -> None:
    async def elapsed() -> float:
        await trio.lowlevel.checkpoint()
        return trio.current_time() - begun

    begun = trio.current_time()
    assert 1 <= await eventually("a second passes", elapsed, lambda seconds: seconds >= 1) < 1.1


async def test_a_wait_in_vain_says_for_what_and_what_it_saw_last(autojump_clock: MockClock) -> None:
    with pytest.raises(AssertionError, match=r"^the queue is empty: not within 3 s; last seen: \['task-1'\]$"):
        await eventually("the queue is empty", lambda: ["task-1"], lambda queue: queue == [], within=3)


async def test_a_read_that_hangs_ends_at_the_deadline(autojump_clock: MockClock) -> None:
    with pytest.raises(AssertionError, match=r"^an answer: not within 2 s; last seen: "):
        await eventually("an answer", trio.sleep_forever, within=2)


async def test_a_state_that_tells_of_its_changes_is_read_at_each_of_them(autojump_clock: MockClock) -> None:
    changed, reads, state = trio.Event(), 0, "begun"

    def read() -> str:
        nonlocal reads
        reads += 1
        return state

    async def change(to: str) -> None:
        nonlocal changed, state
        await trio.sleep(5)
        state, told, changed = to, changed, trio.Event()
        told.set()

    async def end() -> None:
        await change("halfway")
        await change("ended")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        assert await eventually("it has ended", read, lambda now: now == "ended", changed=lambda: changed) == "ended"
    assert reads == 3
