"""The table of session states."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.session_states import CLOSED, MOVES, IdleMove, IdleTimes, may_move, refusal, sources_of
from orchestrator.models.sessions.session import SessionState

states = st.sampled_from(list(SessionState))


def test_every_state_is_in_the_table() -> None:
    assert set(MOVES) == set(SessionState)


def test_state_codes_are_the_platforms() -> None:
    assert [state.code for state in SessionState] == [10, 20, 30, 40, 50, 60, 70, 80, 90]


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_nothing_leads_out_of_a_closed_state(state: SessionState) -> None:
    assert not MOVES[state]


def test_exactly_the_terminated_archived_and_failed_states_are_closed() -> None:
    assert {SessionState.TERMINATED, SessionState.ARCHIVED, SessionState.FAILED} == CLOSED


@given(states, states)
def test_sources_are_the_inverse_of_moves(previous: SessionState, new: SessionState) -> None:
    assert (previous in sources_of(new)) == may_move(previous, new)


@given(states, states)
def test_a_refusal_names_both_states_and_what_is_allowed(previous: SessionState, new: SessionState) -> None:
    sentence = refusal(previous, new)
    assert previous in sentence
    assert new in sentence
    assert all(way in sentence for way in MOVES[previous])


@given(states)
def test_idleness_only_makes_moves_of_the_table(state: SessionState) -> None:
    move = IdleTimes(600, 3600, 604_800).next_move(state)
    assert move is None or may_move(state, move.new)


def test_an_idle_session_pauses_then_is_suspended_then_archived() -> None:
    times = IdleTimes(600, 3600, 604_800)
    state, path = SessionState.ACTIVE, []
    while move := times.next_move(state):
        path.append((move.new, move.after_ms))
        state = move.new
    assert path == [
        (SessionState.PAUSED, 600_000),
        (SessionState.SUSPENDED, 3_600_000),
        (SessionState.ARCHIVED, 604_800_000),
    ]


def test_a_session_that_is_not_used_or_has_failed_is_closed_in_the_end() -> None:
    times = IdleTimes(600, 3600, 604_800)
    for state in (SessionState.CREATED, SessionState.ERROR):
        assert times.next_move(state) == IdleMove(SessionState.TERMINATED, 604_800_000)
