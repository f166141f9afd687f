"""Packed contents: what was packed comes back, and what was not packed so is told."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store import packed
from orchestrator.store.packed import NotPacked

FIELDS = st.dictionaries(st.binary(max_size=20), st.binary(max_size=2000), max_size=10)


@given(FIELDS)
def test_fields_come_back_as_they_were(fields: dict[bytes, bytes]) -> None:
    assert packed.unpack_fields(packed.pack_fields(fields)) == fields


@given(st.lists(st.tuples(st.binary(max_size=30), st.binary(max_size=600)), max_size=20))
def test_events_come_back_as_they_were(events: list[tuple[bytes, bytes]]) -> None:
    assert packed.unpack_events(packed.pack_events(events)) == events


@given(st.binary(min_size=1, max_size=20_000))
def test_pieces_make_the_whole_again(value: bytes) -> None:
    pieces = dict(packed.pieces(value))
    assert packed.whole({b"status": b"completed", **pieces}) == value
    assert all(packed.is_piece(name) for name in pieces)
    assert len(pieces) == 1 or max(map(len, pieces.values())) <= 64


def test_a_record_without_pieces_holds_nothing_packed() -> None:
    assert packed.whole({b"status": b"completed"}) is None


def test_what_is_often_kept_takes_a_fraction() -> None:
    message = b'{"message_id":"m","task_id":"t","payload":{"content":"hello","content_type":"text/plain"}}'
    result = b'{"parent_message_id":"m","message_id":"a","content":"hello","content_type":"text/markdown","sources":[]}'
    whole = packed.pack_fields({b"message": message, b"result": result})
    assert len(whole) < (len(message) + len(result)) / 2


@pytest.mark.parametrize(
    "value",
    [b"", b"text", packed.MARK, packed.MARK + b"nonsense", packed.pack(b"x" * 100)[:-1], packed.pack(b"no list")],
)
def test_what_is_not_packed_so_is_told(value: bytes) -> None:
    with pytest.raises(NotPacked):
        packed.unpack_fields(value)


def test_the_dictionary_stays_as_it_is() -> None:
    # What is in Redis was packed with it: another one gets a mark of its own.
    assert packed.MARK == b"\xfe1"
    assert (
        hashlib.sha256(packed._DICTIONARY).hexdigest()
        == "ea94d20257a69f286534ea2f5c1e867264d1b23b0a18782250dd2cebab2c35c9"
    )
