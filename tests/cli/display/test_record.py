"""A record on a terminal: names and values, and ids that can be copied however narrow it is."""

from cli.display.record import record_lines
from cli.display.table import Pen

PLAIN = Pen()
ID = "01a204d8-6a56-7770-bdc0-01a89580ed9d"
RECORD = {"correlation_id": ID, "status": "failed", "error": "The service did not answer in time."}


def test_values_stand_beside_their_names_and_wrap_there() -> None:
    assert list(record_lines(RECORD, PLAIN, 54)) == [
        f"correlation_id  {ID}",
        "status          failed",
        "error           The service did not answer in time.",
    ]
    assert list(record_lines({"error": "one two three"}, PLAIN, 15)) == ["error  one two", "       three"]


def test_values_stand_below_their_names_where_an_id_has_no_room_beside() -> None:
    for width in (38, 40, 51):
        lines = list(record_lines(RECORD, PLAIN, width))
        assert lines[:4] == ["correlation_id", f"  {ID}", "status", "  failed"]
        assert max(map(len, lines)) <= width
    assert "  The service did not answer in time." in list(record_lines(RECORD, PLAIN, 40))


def test_a_word_that_no_line_has_room_for_breaks_and_moves_nothing() -> None:
    assert list(record_lines({"token": "x" * 30, "a": "b"}, PLAIN, 20)) == [
        "token  " + "x" * 13,
        "       " + "x" * 13,
        "       " + "x" * 4,
        "a      b",
    ]
    assert list(record_lines({}, PLAIN, 80)) == []
