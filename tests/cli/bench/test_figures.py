"""What a load is told to have shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.bench.figures import Figures, LiveAnswers, percentile, summary


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([50, 95, 99, 100]))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert sum(value <= found for value in ordered) * 100 >= percent * len(ordered)
    assert sum(value < found for value in ordered) * 100 < percent * len(ordered)


def test_times_are_told_with_their_rate_in_milliseconds() -> None:
    assert summary([0.01, 0.02, 0.03, 0.5], 2.0) == {
        "count": 4, "per_second": 2.0, "p50_ms": 20.0, "p95_ms": 500.0, "p99_ms": 500.0,
    }  # fmt: skip
    assert summary([], 0.0) == {"count": 0, "per_second": 0.0, "p50_ms": None, "p95_ms": None, "p99_ms": None}


def test_live_answers_are_weighed_by_how_long_they_are_live() -> None:
    live = LiveAnswers()
    for by, at in ((0, 10.0), (1, 11.0), (1, 12.0), (-2, 13.0), (0, 14.0)):
        live.change(by, at)
    assert live.peak == 2
    assert live.mean(4.0) == pytest.approx(0.75)


def test_errors_are_told_by_code() -> None:
    figures = Figures()
    figures.errors.update(["b", "a", "b"])
    assert figures.told(1.0)["errors"] == {"a": 1, "b": 2}
