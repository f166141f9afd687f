"""Background loops: run again after every outage, well when they work, and ended only by a fault of our own."""

import pytest
import trio
import trio.testing
from attrs import define, field
from structlog.testing import capture_logs

from orchestrator.errors import StoreUnavailable, TenantDamaged
from orchestrator.store.background_loops import START_SECONDS, BackgroundLoops, Loop
from orchestrator.store.redis.errors import OUTAGES, refusal

CAN_HAPPEN = [
    *(refusal(f"{code} so it is") for code in sorted(OUTAGES)),
    StoreUnavailable("Redis is away."),
    TenantDamaged("WRONGTYPE of a key"),
]


@define(eq=False)
class Scripted:
    """A loop that fails as it is told, and works then."""

    failures: list[Exception]
    works_first: bool = False
    runs: int = 0
    works: trio.Event = field(factory=trio.Event)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        self.runs += 1
        if self.works_first:
            task_status.started()
        if self.failures:
            # From a nursery of its own, as many loops have one.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fail, self.failures.pop(0))
        task_status.started()
        self.works.set()
        await trio.sleep_forever()

    async def _fail(self, error: Exception) -> None:
        raise error


@pytest.mark.parametrize("works_first", [False, True])
@pytest.mark.parametrize("error", CAN_HAPPEN, ids=str)
async def test_a_loop_goes_on_after_whatever_redis_says(
    autojump_clock: trio.testing.MockClock, error: Exception, *, works_first: bool
) -> None:
    failed: list[str] = []
    loops, scripted = BackgroundLoops(failed.append), Scripted([error] * 5, works_first)
    with capture_logs() as logs, trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loops.keep, Loop("one", scripted.run, "one.away"))
            await trio.testing.wait_all_tasks_blocked()
            assert list(loops.outages) == ["one"]
            await scripted.works.wait()
            assert not loops.outages
            nursery.cancel_scope.cancel()
    assert (scripted.runs, failed) == (6, ["one"] * 5)
    lines = [line for line in logs if line["event"] == "one.away"]
    assert lines[0]["log_level"] == "error"
    assert all("so it is" in line["reason"] for line in lines) or "so it is" not in str(error)
    assert any(line["event"] == "background.recovered" for line in logs)


async def test_pauses_grow_although_the_loop_seems_to_work_each_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scripted = Scripted([refusal("NOPERM no") for _ in range(10)], works_first=True)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(BackgroundLoops().keep, Loop("one", scripted.run))
        await scripted.works.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began > 4


async def test_a_start_waits_for_a_loop_that_does_not_work_yet(autojump_clock: trio.testing.MockClock) -> None:
    scripted = Scripted([refusal("LOADING Redis is loading")] * 6)
    async with trio.open_nursery() as nursery:
        await BackgroundLoops().start(nursery, Loop("one", scripted.run))
        assert scripted.works.is_set()
        nursery.cancel_scope.cancel()


async def test_a_start_does_not_wait_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    scripted = Scripted([refusal("WRONGPASS no")] * 1000)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        with pytest.raises(StoreUnavailable, match="'one' did not start within 10 s: WRONGPASS no"):
            await BackgroundLoops().start(nursery, Loop("one", scripted.run))
    assert trio.current_time() - began == pytest.approx(START_SECONDS)


@pytest.mark.parametrize("fault", [ZeroDivisionError, KeyError])
async def test_a_fault_of_our_own_ends_the_process(fault: type[Exception]) -> None:
    scripted = Scripted([fault()])
    with pytest.RaisesGroup(fault, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(BackgroundLoops().keep, Loop("one", scripted.run))
