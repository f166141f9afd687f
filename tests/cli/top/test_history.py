"""What `top` makes of figures in time, and of records."""

from typing import Any

import pytest

from cli.top.columns import TENANTS, arranged, service_records
from cli.top.history import KEPT, History, sparkline
from cli.top.live_screen import Connection
from tests.cli.top.driven import load, node, queue


def test_a_sparkline_reaches_from_nothing_to_its_highest_value() -> None:
    assert sparkline([0, 1, 2, 4], 6) == "  ▁▃▅█"
    assert sparkline([0, 0], 2) == "▁▁"
    assert sparkline([9, 1, 1], 2) == "██"
    assert sparkline([], 2) == "  "


def test_the_error_rate_is_the_part_of_ends_that_became_dead_letters() -> None:
    history = History()
    history.add(load(queue("acme", dead=5), nodes=(node("a", ended=100),)))
    assert history.error_rate() == 0
    history.add(load(queue("acme", dead=6), nodes=(node("a", ended=104),)))
    assert history.error_rate() == 0.25


def test_what_comes_into_sight_or_is_purged_counts_for_nothing() -> None:
    history = History()
    history.add(load(queue("acme", dead=5), nodes=(node("a", ended=100),)))
    history.add(load(queue("acme", dead=0), queue("globex", dead=50), nodes=(node("a", ended=104), node("b", ended=9))))
    assert history.error_rate() == 0


def test_only_the_last_minutes_are_kept() -> None:
    history = History()
    for _ in range(KEPT + 5):
        history.add(load(queue("acme", backlog=1)))
    assert {len(history.backlog), len(history.ends_per_second), len(history.error_rates)} == {KEPT}


def test_records_without_a_value_come_last_whatever_the_order() -> None:
    records: list[dict[str, Any]] = [queue("a"), queue("b", oldest_waiting="2026"), queue("c", oldest_waiting="2025")]
    oldest = [column.title for column in TENANTS.columns].index("OLDEST")
    for reverse, names in ((False, ["c", "b", "a"]), (True, ["b", "c", "a"])):
        found = arranged(records, TENANTS.columns, sort=oldest, reverse=reverse, wanted="")
        assert [record["tenant_id"] for record in found] == names


@pytest.mark.parametrize(("wanted", "names"), [("", ["acme", "globex"]), ("GLOB", ["globex"]), ("nothing", [])])
def test_a_filter_looks_into_every_cell(wanted: str, names: list[str]) -> None:
    records = [queue("acme"), queue("globex")]
    found = arranged(records, TENANTS.columns, sort=None, reverse=False, wanted=wanted)
    assert [record["tenant_id"] for record in found] == names


def test_a_damaged_tenant_is_shown_as_such() -> None:
    assert TENANTS.columns[1].cell(queue("acme", damage="odd")).plain == "damaged"


def test_calls_that_are_open_are_counted_by_callee_with_the_oldest() -> None:
    call = {"tenant_id": "acme", "correlation_id": "c", "call": "query.search", "callee": ""}
    calls = [call | {"since": "2026-01-02"}, call | {"since": "2026-01-01"}]
    (record,) = service_records(load(queue("acme"), nodes=(node("a", open_calls=calls),)))
    assert (record["service"], record["calls"], record["oldest"]) == ("query", 2, "2026-01-01")


def test_an_older_service_that_tells_of_no_breakers_has_no_rows() -> None:
    figures = load(queue("acme"))
    del figures["breakers"], figures["callee_breakers"]
    assert service_records(figures) == []


def test_after_failures_in_a_row_it_waits_longer_and_says_since_when() -> None:
    connection = Connection(1.0)
    connection.failed(10.0, "away")
    assert (connection.next_at, connection.says(12.0)) == (11.0, "No answer for 2 s, trying again: away")
    connection.failed(11.0, "away")
    connection.failed(13.0, "away")
    connection.failed(18.0, "away")
    assert (connection.next_at, connection.says(20.0)) == (23.0, "No answer for 10 s, trying again: away")
    connection.answered(30.0)
    assert (connection.next_at, connection.says(30.0)) == (31.0, "")
