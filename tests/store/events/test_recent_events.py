"""What is remembered of a channel: without a gap, bounded, and given only where it goes back far enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store.events.events import LoggedEvent
from orchestrator.store.events.recent_events import BYTES_KEPT, EVENTS_KEPT, RecentEvents


def event(offset: int, epoch: str = "e1", size: int = 2) -> LoggedEvent:
    return LoggedEvent(offset, epoch, "chat.stream", b"x" * size)


def offsets(events: list[LoggedEvent] | None) -> list[int] | None:
    return None if events is None else [each.offset for each in events]


def test_what_follows_an_offset_is_given_as_far_back_as_it_is_known() -> None:
    recent = RecentEvents()
    assert recent.after(0, "e1") is None
    for offset in (5, 6, 7):
        recent.add(event(offset))
    given = {after: offsets(recent.after(after, "e1")) for after in range(3, 9)}
    assert given == {3: None, 4: [5, 6, 7], 5: [6, 7], 6: [7], 7: [], 8: None}
    assert recent.after(6, "e2") is None


@pytest.mark.parametrize("stray", [event(8), event(6), event(3), event(7, "e2")], ids=["gap", "again", "back", "epoch"])
def test_an_event_that_does_not_follow_the_last_one_begins_anew(stray: LoggedEvent) -> None:
    recent = RecentEvents()
    for offset in (5, 6):
        recent.add(event(offset))
    recent.add(stray)
    assert recent.last is stray
    assert recent.after(stray.offset - 1, stray.epoch) == [stray]
    assert recent.after(stray.offset - 2, stray.epoch) is None


def test_nothing_is_known_once_it_is_cleared() -> None:
    recent = RecentEvents()
    recent.add(event(1))
    recent.clear()
    assert recent.last is None
    assert recent.after(1, "e1") is None


@given(st.lists(st.tuples(st.sampled_from([1, 1, 1, 0, 2]), st.integers(0, BYTES_KEPT + 1)), min_size=1))
def test_it_is_bounded_and_has_no_gap_whatever_comes(steps: list[tuple[int, int]]) -> None:
    recent, offset = RecentEvents(), 10
    for step, size in steps:
        offset += step
        recent.add(event(offset, size=size))
        known = next(found for after in range(offset + 1) if (found := recent.after(after, "e1")) is not None)
        assert offsets(known) == list(range(known[0].offset, offset + 1))
        assert len(known) <= EVENTS_KEPT
        assert len(known) == 1 or sum(len(each.body) for each in known) <= BYTES_KEPT
