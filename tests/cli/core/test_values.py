"""Durations and moments on the command line."""

from datetime import UTC, datetime

import pytest

from cli.core.values import duration_seconds, moment


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("15m", 900), ("1h", 3600), ("1.5h", 5400), ("2w", 1_209_600), ("250ms", 0.25)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1y", "-1h", "1 h", "nan", "1e9", "99999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        duration_seconds(text)


def test_a_moment_is_so_long_ago_or_a_timestamp() -> None:
    ago = datetime.now(UTC) - datetime.fromisoformat(moment("1h"))
    assert 3590 < ago.total_seconds() < 3610
    assert moment("2026-01-31") == "2026-01-31T00:00:00.000Z"
    assert moment("2026-01-31T08:00:00+02:00") == "2026-01-31T06:00:00.000Z"
    for text in ("yesterday", "9999-12-31T23:59:59-23:59"):
        with pytest.raises(ValueError, match="no moment"):
            moment(text)
