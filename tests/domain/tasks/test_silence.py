"""Who is silent: by how long a moment stayed the same, whatever the clock that wrote it does."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.tasks.silence import PRESUMED, SilenceWatch

TIMEOUT = 10.0
BEAT = TIMEOUT / 3
STEPS = st.lists(st.integers(-3_600_000, 3_600_000), min_size=30, max_size=30)


@given(steps=STEPS, late=st.floats(0, BEAT / 2))
def test_one_that_beats_is_never_silent_however_the_clock_is_set(steps: list[int], late: float) -> None:
    watch: SilenceWatch[str] = SilenceWatch(TIMEOUT)
    clock, told = 1_000_000_000, 0
    for number, step in enumerate(steps):
        clock += step + round(BEAT * 1000)
        # A clock that is set back may show the same moment again, to the millisecond; one in 3,600,000.
        told = clock if clock != told else clock + 1
        stale = frozenset({"other"}) if step > TIMEOUT * 1000 else frozenset()
        assert watch.look(number * BEAT + late, {"other": told}, stale=stale) == []


@given(steps=STEPS, moment=st.integers(0, 2_000_000_000))
def test_one_that_has_died_is_silent_after_the_timeout_however_the_clock_is_set(steps: list[int], moment: int) -> None:
    watch: SilenceWatch[str] = SilenceWatch(TIMEOUT)
    watch.look(-BEAT, {"dead": moment - 1})
    found = [watch.look(number * BEAT, {"dead": moment}) for number in range(len(steps))]
    assert found[:3] == [[], [], []]
    assert found[4:] == [["dead"]] * (len(steps) - 4)


def test_one_that_was_never_heard_and_is_stale_is_silent_after_two_beats() -> None:
    watch: SilenceWatch[str] = SilenceWatch(TIMEOUT)
    old = frozenset({"old"})
    assert watch.look(0, {"old": 1}, stale=old) == []
    assert watch.look(TIMEOUT * PRESUMED - 0.1, {"old": 1}, stale=old) == []
    assert watch.look(TIMEOUT * PRESUMED, {"old": 1}, stale=old) == ["old"]


def test_one_that_was_heard_has_the_whole_timeout_though_it_looks_stale() -> None:
    watch: SilenceWatch[str] = SilenceWatch(TIMEOUT)
    stale = frozenset({"one"})
    watch.look(0, {"one": 1})
    watch.look(1, {"one": 2})
    assert watch.look(1 + TIMEOUT * PRESUMED, {"one": 2}, stale=stale) == []
    assert watch.look(1 + TIMEOUT, {"one": 2}, stale=stale) == ["one"]


def test_all_have_the_whole_timeout_again_after_nobody_could_be_heard() -> None:
    watch: SilenceWatch[str] = SilenceWatch(TIMEOUT)
    watch.look(0, {"one": 1})
    watch.begin_again(60)
    assert watch.look(60 + TIMEOUT - 0.1, {"one": 1}, stale=frozenset({"one"})) == []
    assert watch.look(60 + TIMEOUT, {"one": 1}) == ["one"]


def test_one_that_left_is_forgotten() -> None:
    watch: SilenceWatch[str] = SilenceWatch(TIMEOUT)
    watch.look(0, {"one": 1})
    watch.look(5, {})
    assert watch.look(11, {"one": 1}) == []


def test_moments_that_differ_by_the_slack_count_as_the_same() -> None:
    watch: SilenceWatch[str] = SilenceWatch(TIMEOUT, slack_ms=100)
    watch.look(0, {"one": 1000})
    assert watch.look(TIMEOUT, {"one": 1100}) == ["one"]
    assert watch.look(TIMEOUT, {"one": 1201}) == []
