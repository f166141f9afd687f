"""The limit of tasks in hand, by its properties."""

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.tasks.adaptive_limit import BRIEF_ROOM, BUSY, FLOOR, LATE_SECONDS, AdaptiveLimit, LoopSample

SAMPLES = st.builds(
    LoopSample,
    busy=st.floats(0, 1),
    lag=st.floats(0, 5),
    in_hand=st.integers(0, 150),
    ends_per_second=st.floats(0, 20_000),
    wanted=st.booleans(),
)
MOST = st.integers(1, 120)
WAITING = LoopSample(busy=0.1, lag=0.0, in_hand=0, ends_per_second=0.0, wanted=True)
COMPUTING = LoopSample(busy=1.0, lag=0.0, in_hand=0, ends_per_second=150.0, wanted=True)


def reached(most: int, samples: list[LoopSample]) -> AdaptiveLimit:
    """The limit after some looks."""
    limit = AdaptiveLimit.of(most)
    for sample in samples:
        limit = limit.after(sample)
    return limit


def looks_until(limit: AdaptiveLimit, sample: LoopSample, wanted: int) -> int:
    """How many looks at a process that always has as much in hand as it may lead to a limit."""
    looks = 0
    while limit.limit != wanted:
        limit = limit.after(evolve(sample, in_hand=limit.limit))
        looks += 1
        assert looks < 200, f"the limit stays at {limit.limit}"
    return looks


@given(MOST, st.lists(SAMPLES, max_size=30))
def test_the_limit_is_never_below_its_floor_nor_above_what_is_set(most: int, samples: list[LoopSample]) -> None:
    assert min(FLOOR, most) <= reached(most, samples).limit <= most


@given(MOST, st.lists(SAMPLES, max_size=30), SAMPLES, st.floats(0, 5), st.floats(0, 1))
def test_a_later_or_busier_loop_never_has_a_higher_limit(
    most: int, samples: list[LoopSample], sample: LoopSample, more_lag: float, more_busy: float
) -> None:
    limit = reached(most, samples)
    worse = evolve(sample, lag=sample.lag + more_lag, busy=min(1.0, sample.busy + more_busy))
    assert limit.after(worse).limit <= limit.after(sample).limit


@given(MOST, st.lists(SAMPLES, max_size=30), SAMPLES)
def test_a_busy_loop_with_tasks_that_stay_for_long_gets_no_more(
    most: int, samples: list[LoopSample], sample: LoopSample
) -> None:
    limit = reached(most, samples)
    assert limit.after(evolve(sample, busy=BUSY, in_hand=100, ends_per_second=100.0)).limit <= limit.limit
    assert limit.after(evolve(sample, lag=LATE_SECONDS, in_hand=100, ends_per_second=100.0)).limit <= limit.limit


@given(MOST, st.lists(SAMPLES, max_size=30))
def test_tasks_that_only_wait_soon_fill_all_slots_whatever_was_before(most: int, samples: list[LoopSample]) -> None:
    assert looks_until(reached(most, samples), WAITING, most) <= 9


@given(MOST, st.lists(SAMPLES, max_size=30))
def test_tasks_that_compute_soon_share_the_loop_with_few_others(most: int, samples: list[LoopSample]) -> None:
    assert looks_until(reached(most, samples), COMPUTING, min(FLOOR, most)) <= 120


def test_brief_tasks_that_wait_for_something_they_share_get_little_company() -> None:
    limit = AdaptiveLimit.of(100)
    for _ in range(500):
        limit = limit.after(LoopSample(busy=0.45, lag=0.0, in_hand=limit.limit, ends_per_second=100.0, wanted=True))
    assert limit.limit <= 2 * FLOOR, "the more there are, the longer each of them takes"


def test_brief_tasks_that_wait_each_for_itself_get_what_the_loop_has_room_for() -> None:
    limit = AdaptiveLimit.of(100)
    for _ in range(100):
        sample = LoopSample(
            busy=0.01 * limit.limit, lag=0.0, in_hand=limit.limit, ends_per_second=5.0 * limit.limit, wanted=True
        )
        limit = limit.after(sample)
    assert 40 <= limit.limit <= 80


@given(st.floats(BRIEF_ROOM, BUSY, exclude_min=True, exclude_max=True), st.floats(20.0, 200.0))
def test_brief_tasks_get_no_company_in_a_loop_that_has_little_time(busy: float, ends_per_second: float) -> None:
    limit = AdaptiveLimit.of(100)
    for _ in range(20):
        limit = limit.after(LoopSample(busy, 0.0, limit.limit, ends_per_second, wanted=True))
    assert limit.limit == FLOOR


def test_short_tasks_may_be_many_although_the_loop_is_busy() -> None:
    assert looks_until(AdaptiveLimit.of(100), evolve(COMPUTING, ends_per_second=8000.0), 100) <= 8


def test_what_waits_stays_while_a_flood_comes_and_the_rest_shares_the_loop() -> None:
    limit = AdaptiveLimit(100, 100)
    for _ in range(50):
        limit = limit.after(evolve(COMPUTING, in_hand=max(80, limit.limit)))
    assert 79 <= limit.limit <= 80
    assert limit.after(evolve(WAITING, in_hand=80)).limit >= 80


@given(MOST, st.lists(SAMPLES, max_size=30), st.integers(0, 50))
def test_what_is_not_used_falls_back(most: int, samples: list[LoopSample], in_hand: int) -> None:
    idle = LoopSample(busy=0.0, lag=0.0, in_hand=in_hand, ends_per_second=0.0, wanted=False)
    limit = reached(most, samples)
    for _ in range(5):
        limit = limit.after(idle)
    assert limit.limit <= in_hand + FLOOR
