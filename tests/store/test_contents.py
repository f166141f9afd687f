"""Contents at rest: sealed under a ring of keys, bound to their tenant and kind, side by side with clear ones."""

import base64
from functools import partial

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import TenantDamaged
from orchestrator.store import contents as module
from orchestrator.store.contents import CHECKPOINT, EVENT, ITEM, MESSAGE, TEMPLATE, TEXT, Contents, is_sealed

OLD, NEW = (f"{name}:{base64.b64encode(bytes([byte]) * 32).decode()}" for name, byte in (("old", 1), ("new", 2)))
RING = Contents.under([NEW, OLD])
TEXTS = st.text(min_size=1).map(str.encode)


def sealed(ring: Contents, tenant_id: str, kind: str, value: bytes) -> bytes:
    result = ring.seal(tenant_id, kind, value)
    assert isinstance(result, bytes)
    return result


@given(value=TEXTS)
def test_what_is_sealed_opens_again_and_shows_nothing(value: bytes) -> None:
    kept = sealed(RING, "acme", EVENT, value)
    assert is_sealed(kept)
    assert len(value) < 8 or value not in kept
    assert RING.open("acme", EVENT, kept) == value
    assert Contents.under([NEW]).open("acme", EVENT, kept) == value
    assert RING.key_of(kept) == "new"


def test_an_event_that_was_sealed_here_opens_for_its_tenant_alone_and_however_often() -> None:
    kept = sealed(RING, "acme", EVENT, b'{"a":1}')
    with pytest.raises(TenantDamaged):
        RING.open("globex", EVENT, kept)
    with pytest.raises(TenantDamaged):
        RING.open("acme", TEXT, kept)
    assert [RING.open("acme", EVENT, kept) for _ in range(3)] == [b'{"a":1}'] * 3


def test_a_frame_that_is_too_short_for_a_nonce_is_told_as_damage() -> None:
    with pytest.raises(TenantDamaged):
        RING.open("acme", TEXT, b"\xffE1\x03new\x00\x00\x00\x04abcd")


def test_few_of_the_events_that_were_sealed_here_are_remembered() -> None:
    ring = Contents.under([NEW])
    frames = [sealed(ring, "acme", EVENT, b"%d" % number) for number in range(1000)]
    assert 0 < len(ring._told) <= 256
    assert [ring.open("acme", EVENT, one) for one in frames] == [b"%d" % number for number in range(1000)]
    large = b"x" * 2**20
    kept = sealed(ring, "acme", EVENT, large)
    assert not ring._told
    assert ring.open("acme", EVENT, kept) == large


def test_without_keys_contents_stay_as_they_are() -> None:
    clear = Contents()
    body = b'{"a":1}'
    assert clear.seal("acme", EVENT, body) is body
    assert clear.open("acme", EVENT, body) is body
    record = {b"message": body}
    assert clear.open_record("acme", "task", record) is record
    assert (clear.key_id, clear.key_of(body)) == (None, None)


def test_clear_values_are_read_where_keys_are_set_and_nothing_stays_nothing() -> None:
    assert RING.open("acme", EVENT, b"{}") == b"{}"
    assert RING.seal("acme", EVENT, b"") == b""


def test_the_first_key_seals_and_all_open() -> None:
    kept = sealed(Contents.under([OLD]), "acme", EVENT, b"{}")
    assert RING.open("acme", EVENT, kept) == b"{}"
    assert (RING.key_of(kept), RING.key_id) == ("old", "new")


def test_clear_before_the_keys_seals_nothing_and_opens_all() -> None:
    ring = Contents.under(["clear", NEW])
    assert (ring.seal("acme", EVENT, b"{}"), ring.key_id) == (b"{}", None)
    assert ring.open("acme", EVENT, sealed(RING, "acme", EVENT, b"{}")) == b"{}"


def test_a_value_of_a_key_that_is_not_there_says_which() -> None:
    kept = sealed(RING, "acme", EVENT, b"{}")
    for ring in (Contents(), Contents.under([OLD])):
        with pytest.raises(TenantDamaged, match="'new'"):
            ring.open("acme", EVENT, kept)


@pytest.mark.parametrize(("tenant_id", "kind"), [("globex", EVENT), ("acme", MESSAGE), ("acmeevent", "")])
def test_a_value_of_another_tenant_or_field_does_not_open(tenant_id: str, kind: str) -> None:
    kept = sealed(RING, "acme", EVENT, b"{}")
    with pytest.raises(TenantDamaged, match="can't be decrypted"):
        RING.open(tenant_id, kind, kept)


@given(at=st.integers(0, 60), by=st.integers(1, 255))
def test_a_changed_value_is_an_error_and_never_another_text(at: int, by: int) -> None:
    kept = bytearray(sealed(RING, "acme", EVENT, b'{"content":"abcdefgh"}'))
    kept[at] ^= by
    if bytes(kept).startswith(module.MARK):
        with pytest.raises(TenantDamaged):
            RING.open("acme", EVENT, bytes(kept))


@given(cut=st.integers(1, 50))
def test_a_cut_value_is_an_error(cut: int) -> None:
    kept = sealed(RING, "acme", EVENT, b"{}")
    with pytest.raises(TenantDamaged):
        RING.open("acme", EVENT, kept[: max(1, len(kept) - cut)])


@given(pieces=st.lists(st.tuples(TEXTS, st.booleans())))
def test_the_text_of_a_turn_is_read_piece_by_piece(pieces: list[tuple[bytes, bool]]) -> None:
    kept = b"".join(sealed(RING, "acme", TEXT, text) if hidden else text for text, hidden in pieces)
    assert RING.open_text("acme", kept) == b"".join(text for text, _ in pieces)


def test_the_contents_of_a_record_are_sealed_and_its_other_fields_are_not() -> None:
    record: dict[str, str | bytes | int] = {"message": b"{}", "checkpoint:recall": "[1]", "priority": 5, "type": "a.b"}
    flat = list(RING.seal_fields("acme", "task", record))
    kept = dict(zip(flat[::2], flat[1::2], strict=True))
    assert (kept["priority"], kept["type"]) == (5, "a.b")
    raw = {
        str(name).encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in kept.items()
    }
    assert is_sealed(raw[b"message"])
    assert is_sealed(raw[b"checkpoint:recall"])
    opened = RING.open_record("acme", "task", raw)
    assert opened[b"message"] == b"{}"
    assert opened[b"checkpoint:recall"] == b"[1]"
    assert RING.open("acme", CHECKPOINT, raw[b"checkpoint:recall"]) == b"[1]"


def test_figures_of_a_progress_stay_readable_and_its_words_do_not() -> None:
    told = orjson.dumps({"progress": 0.5, "steps_total": 4, "message": "of secrets"})
    kept = RING.seal_progress("acme", told)
    assert isinstance(kept, bytes)
    assert kept.startswith(b'{"progress":0.5,"steps_total":4}')
    assert b"secrets" not in kept
    assert RING.open_record("acme", "task", {b"progress": kept})[b"progress"] == told
    figures = orjson.dumps({"progress": 0.5})
    assert RING.seal_progress("acme", figures) == figures


def test_a_message_that_a_script_composed_is_its_template_with_the_item() -> None:
    template = b'{"task_id":"@task","payload":{"agent_id":"echo","@item":null}}'
    seal = partial(sealed, RING, "acme")
    kept = b"\xffB1b1.7\n" + seal(TEMPLATE, template) + seal(ITEM, b'"content":"hi"')
    message = b'{"task_id":"b1.7","payload":{"agent_id":"echo","content":"hi"}}'
    assert RING.open("acme", MESSAGE, kept) == message
    assert RING.key_of(kept) == "new"


def test_no_nonce_comes_twice_and_the_counter_starts_over_with_another_random_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_COUNTS", 3)
    ring = Contents.under([NEW])
    kept = [sealed(ring, "acme", EVENT, b"{}") for _ in range(10)]
    assert len({one[11:23] for one in kept}) == 10
    assert len({one[11:19] for one in kept}) == 4
