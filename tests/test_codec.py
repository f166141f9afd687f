"""Reading and writing models."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec import (
    DEEPEST,
    MOST_VALUES,
    decode,
    encode,
    parse_json,
    parse_request,
    structure,
    unstructure,
)
from orchestrator.errors import InvalidBody
from orchestrator.message_faults import MOST_FAULTS
from orchestrator.models.common.envelope import MessageType, RequestEnvelope
from orchestrator.models.sessions.chat import ChatMessage, ChatMode
from orchestrator.models.sessions.session import SessionCreate, SessionState
from orchestrator.models.tasks.batch import BatchCreate
from orchestrator.models.tasks.task import TaskMessage, TaskMetadata

GOOD = {"session_id": "s1", "content": "hello"}


def faults(value: Any, kind: type) -> dict[str, str]:
    with pytest.raises(InvalidBody) as caught:
        structure(value, kind, "$.data")
    return {fault.path: fault.message for fault in caught.value.details}


def test_what_is_left_out_has_its_default() -> None:
    message = structure(GOOD, ChatMessage)
    assert (message.mode, message.timeout_ms) == (ChatMode.ASYNC, 30_000)


def test_all_faults_are_told_at_once_each_with_its_path() -> None:
    attachments = [{"name": "a", "url": "ftp://x"}, {"name": 1, "url": "https://x"}]
    body = {"session_id": "a:b", "content": "", "mode": "later", "extra": 1, "attachments": attachments}
    assert faults(body, ChatMessage) == {
        "$.data.session_id": "must match ^[A-Za-z0-9_.-]{1,64}$",
        "$.data.content": "must not be empty",
        "$.data.mode": "must be one of 'async', 'wait', 'stream'",
        "$.data.extra": "is not a field of this message",
        "$.data.attachments[0].url": "must match ^https?://",
        "$.data.attachments[1].name": "must be a string",
    }


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("content", 5, "must be a string"),
        ("content", None, "must be a string"),
        ("timeout_ms", "5", "must be a whole number"),
        ("timeout_ms", True, "must be a whole number"),
        ("timeout_ms", 1.5, "must be a whole number"),
        ("timeout_ms", 0, "must be at least 1"),
        ("timeout_ms", 600_001, "must be at most 600000"),
        ("metadata", [], "has the wrong type"),
        ("attachments", "x", "must be a list"),
        ("attachments", {"a": 1}, "must be a list"),
        ("mode", 1, "must be one of 'async', 'wait', 'stream'"),
        ("session_id", "a\n", "must match ^[A-Za-z0-9_.-]{1,64}$"),
        ("session_id", "ünï", "must match ^[A-Za-z0-9_.-]{1,64}$"),
        ("content", "x" * 262_145, "is too long: 262145, and at most 262144 are taken"),
    ],
)
def test_nothing_is_coerced_and_limits_hold(field: str, value: Any, message: str) -> None:
    assert faults({**GOOD, field: value}, ChatMessage) == {f"$.data.{field}": message}


def test_what_is_missing_is_named() -> None:
    assert faults({}, ChatMessage) == {
        "$.data.session_id": "required field is missing",
        "$.data.content": "required field is missing",
    }


@pytest.mark.parametrize("value", [None, 1, "text", [], True])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert faults(value, ChatMessage) == {"$.data": "must be an object"}


def test_an_optional_field_may_be_null() -> None:
    assert structure({"agent_id": "a", "user_id": None}, SessionCreate).user_id is None


@pytest.mark.parametrize("raw", [b"", b"{", b"nonsense", b'{"a": }', b"\xff", b'{"a": NaN}'])
def test_what_is_not_json_is_told_so(raw: bytes) -> None:
    with pytest.raises(InvalidBody, match="not JSON"):
        parse_json(raw)


def test_an_envelope_may_be_as_small_as_its_data() -> None:
    assert structure({"data": {"x": 1}}, RequestEnvelope).data == {"x": 1}


IDS = st.text("abcXYZ019_.-", min_size=1, max_size=64)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
MESSAGES = st.builds(
    TaskMessage,
    message_id=IDS,
    task_id=IDS,
    tenant_id=IDS,
    correlation_id=IDS,
    created_at=st.just("2026-01-01T00:00:00.000Z"),
    type=st.just(MessageType("chat", "message")),
    metadata=st.builds(TaskMetadata, user_id=IDS, timeout_ms=st.integers(1, 10**9)),
    payload=st.dictionaries(st.text(max_size=5), VALUES),
    session_id=st.none() | IDS,
    conversation_id=st.none() | st.text(),
    expires_at=st.none(),
    schema_version=st.just("1.1"),
    priority=st.integers(0, 9),
    source_service=st.text(),
    target_service=st.text(),
    delegated_services=st.lists(st.text(), max_size=3),
)


@given(MESSAGES)
def test_a_message_reads_back_as_it_was_written(message: TaskMessage) -> None:
    assert decode(encode(message), TaskMessage) == message


def test_states_are_written_as_their_names() -> None:
    assert unstructure(SessionState.ACTIVE) == "ACTIVE"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_what_is_nested_too_deeply_to_be_written_again_is_refused(opening: str) -> None:
    def nested(levels: int) -> str:
        return opening * levels + "1" + ("]" if opening == "[" else "}") * levels

    encode(parse_request(nested(DEEPEST).encode()))
    for raw in (nested(DEEPEST + 1), nested(DEEPEST + 1).encode(), nested(1000)):
        with pytest.raises(InvalidBody) as caught:
            parse_request(raw)
        assert [fault.path for fault in caught.value.details] == ["$"]


def test_width_is_not_depth() -> None:
    assert len(parse_request(b"[" + b",".join([b"[[]]"] * 500) + b"]")) == 500


@pytest.mark.parametrize("moment", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", ""])
def test_an_envelope_says_when_it_was_made_or_nothing(moment: str) -> None:
    assert set(faults({"data": {}, "created_at": moment}, RequestEnvelope)) == {"$.data.created_at"}
    assert structure({"data": {}, "created_at": None}, RequestEnvelope).created_at is None


def test_of_many_faults_the_first_are_told_and_all_are_counted() -> None:
    with pytest.raises(InvalidBody) as caught:
        structure({**GOOD, **{f"field{number:03}": 1 for number in range(300)}}, ChatMessage)
    assert [fault.path for fault in caught.value.details] == [f"$.field{number:03}" for number in range(MOST_FAULTS)]
    assert "and 299 more" in caught.value.message


def test_a_list_with_many_wrong_items_is_not_looked_through() -> None:
    with pytest.raises(InvalidBody) as caught:
        structure({"agent_id": "a", "items": [1] * 9_000}, BatchCreate)
    assert len(caught.value.details) == MOST_FAULTS
    assert caught.value.message.endswith("and 49 more; 8950 further values were not looked at.")


def test_a_list_that_is_too_long_is_not_looked_at_at_all() -> None:
    assert faults({"agent_id": "a", "items": [1] * 10_001}, BatchCreate) == {
        "$.data.items": "is too long: 10001, and at most 10000 are taken"
    }


@pytest.mark.parametrize("many", [b"1,", b"[],", b'{"a":[1]},', b'"\\",[",'])
def test_a_request_with_too_many_values_is_refused_before_it_is_read(many: bytes) -> None:
    raw = b'{"data":[' + many * MOST_VALUES + b"0]}"
    with pytest.raises(InvalidBody) as caught:
        parse_request(raw)
    assert caught.value.details[0].message == f"has more than {MOST_VALUES} values"


def test_punctuation_in_a_text_is_no_value() -> None:
    text = 'a, "quoted" [b] {c} \\ ' * 20_000
    assert parse_request(encode({"content": text})) == {"content": text}


@pytest.mark.parametrize("raw", [b'"\\"' * 300_000, b'{"a' + b"\\" * 300_001, b"[" * 300_000, b'","' * 300_000])
def test_what_is_not_json_is_counted_in_one_pass(raw: bytes) -> None:
    with pytest.raises(InvalidBody):
        parse_request(raw)


def test_long_names_are_told_in_short() -> None:
    [(path, _)] = faults({**GOOD, "x" * 10_000: 1}, ChatMessage).items()
    assert path == f"$.data.{'x' * 200}…"


@pytest.mark.parametrize("odd", [2**64, -(2**63) - 1, 10**400, "\ud800"])
def test_what_a_damaged_record_held_is_written_too(odd: object) -> None:
    assert json.loads(encode({"odd": odd, "well": [1, "é"]})) == {"odd": odd, "well": [1, "é"]}
