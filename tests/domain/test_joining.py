"""How long pieces of live answers are gathered."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.joining import LEAST_SECONDS, LONGEST_SECONDS, SECONDS_AN_ANSWER, Speaking, pause_seconds


def test_few_answers_are_passed_on_as_they_come() -> None:
    assert [pause_seconds(count) for count in range(6)] == [0.0] * 6


@given(st.integers(0, 100_000))
def test_a_pause_is_bounded_and_grows_with_the_answers(count: int) -> None:
    pause = pause_seconds(count)
    assert pause == 0.0 or LEAST_SECONDS < pause <= LONGEST_SECONDS
    assert pause <= pause_seconds(count + 1)


@given(st.integers(6, 50))
def test_passing_on_takes_the_same_share_however_many_there_are(count: int) -> None:
    assert abs(count / pause_seconds(count) - 1 / SECONDS_AN_ANSWER) < 1


def test_the_pause_follows_the_answers_that_are_being_said() -> None:
    speaking = Speaking()
    assert speaking.pause == 0.0
    speaking.count = 40
    assert speaking.pause == 0.04
