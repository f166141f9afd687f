"""The fast decoder reads nothing that the strict one refuses, and reads the same as that one."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec import decode, encode
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import MessageType
from orchestrator.models.tasks.task import TaskMessage, TaskMetadata
from orchestrator.store.tasks.fast_decode import quick_reader

read = quick_reader(TaskMessage)
MESSAGE = TaskMessage(
    message_id="m",
    task_id="t",
    tenant_id="acme",
    correlation_id="c",
    created_at="2026-01-01T00:00:00.000Z",
    type=MessageType("chat", "message"),
    metadata=TaskMetadata("ann"),
    payload={"content": "hallo", "n": [1, 2.5, None, {"deep": True}]},
)
PLAIN: dict[str, Any] = orjson.loads(encode(MESSAGE))
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 15), st.floats(allow_nan=False), st.text(max_size=5), st.just({})
)


def test_what_was_written_is_read_as_it_was() -> None:
    assert read(encode(MESSAGE)) == MESSAGE == decode(encode(MESSAGE), TaskMessage)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        encode({**PLAIN, "unknown": 1}),
        encode({**PLAIN, "metadata": {**PLAIN["metadata"], "unknown": 1}}),
        encode({**PLAIN, "tenant_id": "acme\n"}),
        encode({**PLAIN, "session_id": "s\n"}),
        encode({**PLAIN, "priority": 10}),
        encode({**PLAIN, "priority": True}),
        encode({key: value for key, value in PLAIN.items() if key != "task_id"}),
    ],
)
def test_what_the_strict_reader_refuses_is_not_read(raw: bytes) -> None:
    assert read(raw) is None
    with pytest.raises(InvalidBody):
        decode(raw, TaskMessage)


@given(st.dictionaries(st.sampled_from([*PLAIN, "other"]), VALUES, max_size=3))
def test_whatever_is_read_the_strict_reader_reads_too(changes: dict[str, Any]) -> None:
    raw = orjson.dumps(PLAIN | changes)
    found = read(raw)
    if found is not None:
        assert found == decode(raw, TaskMessage)
