"""What is shown of an answer, decided without a terminal."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.chat.screen import settled, source_lines, verdict_lines
from cli.chat.turn import Turn
from cli.core.failures import CliFailure, Exit, failure_in, refusal
from cli.core.follow import Frame
from cli.core.output import age
from cli.display.glyphs import printable


def frame(name: str, **data: Any) -> Frame:
    return Frame(name, data, 1, {"correlation_id": "c"})


def a_turn() -> Turn:
    turn = Turn()
    turn.accept("m", "t")
    return turn


def test_a_paragraph_is_final_once_a_blank_line_follows() -> None:
    assert settled("one") == ""
    assert settled("one\n\ntwo") == "one\n\n"
    assert settled("one\n\ntwo\n\nthr") == "one\n\ntwo\n\n"


def test_a_blank_line_within_code_does_not_end_the_block() -> None:
    assert settled("text\n\n```\na\n\nb") == "text\n\n"
    assert settled("text\n\n```\na\n\nb\n```\n\nend") == "text\n\n```\na\n\nb\n```\n\n"


@given(st.lists(st.sampled_from(["word ", "\n", "\n\n", "```", "~~~", "- "])))
def test_final_text_never_changes_while_more_comes(pieces: list[str]) -> None:
    text, before = "", ""
    for piece in pieces:
        text += piece
        now = settled(text)
        assert text.startswith(now)
        assert now.startswith(before)
        before = now


def test_an_answer_adds_up_from_its_chunks_and_ends_with_its_completion() -> None:
    turn = a_turn()
    for chunk in ("a ", "b"):
        turn.apply(frame("chat.stream", parent_message_id="m", chunk=chunk, content_type="response"))
    turn.apply(frame("chat.stream", parent_message_id="m", chunk="hmm", content_type="thinking"))
    assert (turn.text, turn.is_over) == ("a b", False)
    turn.apply(frame("chat.completed", parent_message_id="m", content="a b c"))
    assert (turn.text, turn.is_over, turn.status, turn.correlation_id) == ("a b c", True, "completed", "c")


@pytest.mark.parametrize(
    ("who", "says"),
    [
        ("user", "The turn was cancelled."),
        ("operator", "The turn was cancelled by an operator."),
        ("system", "The turn was cancelled with its session."),
        (None, "The turn was cancelled."),
    ],
)
def test_a_turn_that_another_has_stopped_says_so(who: str | None, says: str) -> None:
    told, looked_up = a_turn(), a_turn()
    told.apply(frame("chat.status_update", message_id="m", status="cancelled", cancelled_by=who))
    looked_up.finish({"status": "cancelled", "cancelled_by": who})
    assert verdict_lines(told) == verdict_lines(looked_up) == [says]


def test_events_of_other_messages_change_nothing() -> None:
    turn = a_turn()
    assert not turn.apply(frame("chat.stream", parent_message_id="another", chunk="x"))
    assert turn.text == ""


def test_events_of_a_later_version_change_nothing() -> None:
    turn = a_turn()
    assert turn.apply(frame("chat.novelty", parent_message_id="m"))
    assert turn.text == ""


def test_sources_are_named_by_what_they_have() -> None:
    answer = {"sources": [{"title": "T", "url": "http://x"}, {"document_id": "d", "score": 0.5}, {"score": 1}]}
    assert source_lines(answer) == ["[1] T — http://x", "[2] d", '[3] {"score": 1}']


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    assert printable("a\x1b[2Jb\x9bc\rd\te\n") == "a[2Jbcd\te\n"


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-01-02T00:00:00.000Z", "0s"),
        ("2026-01-01T23:59:01.000Z", "59s"),
        ("2026-01-01T23:00:01.000Z", "59m"),
        ("2026-01-01T01:00:00.000Z", "23h"),
        ("2025-12-01T00:00:00.000Z", "32d"),
        (None, ""),
    ],
)
def test_ages_are_shown_in_one_unit(moment: str | None, said: str) -> None:
    assert age(moment, datetime(2026, 1, 2, tzinfo=UTC)) == said


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Exit.USAGE), (401, Exit.FAILED), (404, Exit.NOT_FOUND), (409, Exit.FAILED), (429, Exit.FAILED),
        (500, Exit.FAILED), (503, Exit.UNREACHABLE), (504, Exit.INCOMPLETE),
    ],
)  # fmt: skip
def test_every_refusal_has_its_exit_code(status: int, code: Exit) -> None:
    assert refusal(status, {"message": "No."}).code is code


def test_a_refusal_names_all_faults_and_when_to_come_back() -> None:
    faults = [{"path": "$.a", "message": "is bad"}, {"path": "$.b", "message": "too"}]
    failure = refusal(429, {"message": "Slow down.", "details": faults, "retry_after_ms": 1500})
    assert failure.hint == "$.a is bad; $.b too. Try again in 1.5 s."


def test_a_refusal_has_the_reason_of_another_service_and_no_fault_twice() -> None:
    reason = {"path": "$.data.parameters", "message": "TOOL_VAL_002: The parameter is missing."}
    failure = refusal(422, {"message": "The tool does not take these.", "details": [reason]})
    assert failure.hint == "$.data.parameters TOOL_VAL_002: The parameter is missing."
    own = {"path": "$.data.a", "message": "is bad"}
    assert refusal(422, {"message": "$.data.a is bad.", "details": [own]}).hint == ""


def test_a_failure_is_found_in_groups_but_bugs_are_not_hidden_by_it() -> None:
    failure = CliFailure("No.")
    assert failure_in(ExceptionGroup("", [ExceptionGroup("", [failure])])) is failure
    assert failure_in(ExceptionGroup("", [failure, KeyError()])) is None
