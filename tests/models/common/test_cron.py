"""Cron expressions: nonsense is told, and the next moment always lies ahead."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.models.common.cron import cron_fault, next_moment, timezone_fault

ZONES = ["UTC", "Europe/Madrid", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
# Seconds from 2000 to 2040, in ms.
MOMENTS = st.integers(946_684_800_000, 2_208_988_800_000)


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high or 1).map(lambda step: f"*/{step}"),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.lists(number, min_size=1, max_size=4).map(lambda some: ",".join(map(str, some))),
    )


EXPRESSIONS = st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)).map(" ".join)


def ms(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@settings(max_examples=150)
@given(EXPRESSIONS, st.sampled_from(ZONES), MOMENTS)
def test_the_next_moment_lies_ahead_and_never_moves_back(expression: str, zone: str, after: int) -> None:
    assert cron_fault(expression) is None
    first = next_moment(expression, zone, after)
    assert first is not None
    assert first > after
    assert first % 60_000 == 0 or zone == "Pacific/Apia"
    second = next_moment(expression, zone, first)
    assert second is not None
    assert second > first
    between = next_moment(expression, zone, after + (first - after) // 2)
    assert between == first


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=40), st.text("*0123456789,-/#LWMONJAN ", max_size=40)))
def test_a_malformed_expression_is_reported_and_never_raises(text: str) -> None:
    fault = cron_fault(text)
    assert fault is None or fault.startswith(("must", "is no", "names"))
    if fault is None:
        assert next_moment(text, "Europe/Madrid", ms("2026-01-01T00:00")) is not None
    assert timezone_fault(text) is None or "IANA" in str(timezone_fault(text))


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "* * * * * *", "60 * * * *", "@daily", "a b c d e", "*/0 * * * *", "0 0 31 2 *"]
)
def test_what_is_no_cron_expression_is_refused(expression: str) -> None:
    assert cron_fault(expression) is not None


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "America", "a\0b"])
def test_what_is_no_timezone_is_refused(name: str) -> None:
    assert timezone_fault(name) is not None


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 8 * * *", "2026-03-28T08:00", "2026-03-29T08:00"),
        ("30 2 * * *", "2026-03-29T01:59", "2026-03-29T03:00"),
        ("30 2 * * *", "2026-10-25T02:30", "2026-10-26T02:30"),
        ("0 9 * * MON#1", "2026-01-01T00:00", "2026-01-05T09:00"),
        ("0 9 L * *", "2026-02-01T00:00", "2026-02-28T09:00"),
    ],
    ids=["eight is eight after the change", "left out by the change", "repeated by the change", "MON#1", "L"],
)
def test_moments_go_by_the_clocks_of_the_timezone(expression: str, after: str, expected: str) -> None:
    zone = "Europe/Madrid"
    assert next_moment(expression, zone, ms(after, zone)) == ms(expected, zone)


def test_every_hour_goes_by_elapsed_time_through_a_change() -> None:
    moment = ms("2026-10-24T23:30")
    found = []
    for _ in range(4):
        following = next_moment("0 * * * *", "Europe/Madrid", moment)
        assert following is not None
        moment = following
        found.append(datetime.fromtimestamp(moment / 1000, UTC).hour)
    assert found == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("expression", "zone"),
    [("", "UTC"), ("* * * *", "UTC"), ("61 * * * *", "UTC"), ("* * * * *", "Nowhere/None"), ("* * * * *", "\0")],
)
def test_what_names_no_moments_is_a_wrong_value(expression: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"names no moments|normalized|null"):
        next_moment(expression, zone, 0)
