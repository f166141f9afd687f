"""What is told of work that waits: every reason once, and nothing of what is as it should be."""

import pytest

from cli.core.failures import CliFailure, Exit
from cli.waiting.notes import WaitNotes

PAUSED = {"reason": "paused", "says": "Its tenant is paused."}
NEXT = {"reason": "next", "says": "It is the next to be claimed."}
DELAYED = {"reason": "delayed", "says": "It starts at noon.", "until": "noon"}
AWAY = CliFailure("The store is away; try again in a moment.", "", Exit.UNREACHABLE)


@pytest.fixture
def notes() -> WaitNotes:
    return WaitNotes("The turn", lambda: 0.0)


def test_a_reason_is_told_once_until_the_work_moves_on(notes: WaitNotes) -> None:
    told = [notes.of_wait(PAUSED), notes.of_wait(PAUSED)]
    notes.moved()
    assert [*told, notes.of_wait(PAUSED)] == ["The turn waits. Its tenant is paused.", "", told[0]]


def test_the_next_attempt_is_news_and_a_place_in_the_queue_is_not(notes: WaitNotes) -> None:
    queued = {"reason": "queue", "says": "Its tenant has 9 tasks before it."}
    assert notes.of_wait(queued).endswith("9 tasks before it.")
    assert notes.of_wait(queued | {"says": "Its tenant has 8 tasks before it."}) == ""
    assert notes.of_wait(DELAYED).endswith("noon.")
    assert notes.of_wait(DELAYED | {"until": "one", "says": "It starts at one."}).endswith("one.")


@pytest.mark.parametrize("reason", ["in_hand", "ended", "client_tool", "input", "service"])
def test_work_that_is_done_or_asks_by_itself_needs_no_word(notes: WaitNotes, reason: str) -> None:
    assert notes.of_wait({"reason": reason, "says": "It is in hand."}) == ""


def test_a_task_that_is_about_to_start_is_told_where_it_does_not_start(notes: WaitNotes) -> None:
    assert [bool(notes.of_wait(wait)) for wait in (NEXT, PAUSED, NEXT, NEXT, NEXT)] == [False, True, False, True, False]


def test_what_is_away_for_a_while_is_told_without_being_told_to_try_again(notes: WaitNotes) -> None:
    assert [notes.of_failure(AWAY), notes.of_failure(AWAY)] == ["The turn waits. The store is away.", ""]
    assert (AWAY.passes, CliFailure("No.", "", Exit.NOT_FOUND).passes) == (True, False)


def test_it_is_looked_after_a_second_of_silence_and_then_every_two() -> None:
    now = 0.0
    notes = WaitNotes("It", lambda: now)
    assert notes.left() == 1
    now = 1.0
    assert notes.left() == 0
    notes.looked()
    assert notes.left() == 2
    notes.moved()
    assert notes.left() == 1
