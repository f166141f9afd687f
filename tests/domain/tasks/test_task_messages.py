"""Messages of task queues, of both schemas."""

from copy import deepcopy
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.tasks.task_messages import LARGEST, read_task_message, upgrade
from orchestrator.errors import InvalidBody, OrchestratorError, PayloadTooLarge
from orchestrator.sandbox.data_files import data_folder

GOLDEN: Final = data_folder("fixtures") / "golden"
INDEX: Final[list[dict[str, Any]]] = [
    entry for entry in orjson.loads((GOLDEN / "index.json").read_bytes()) if entry["kind"] == "task_message"
]
contents = st.dictionaries(
    st.sampled_from(["schema_version", "data", "payload", "task_id", "type"]) | st.text(max_size=5),
    st.sampled_from(["1.0", "1.1", "2.0", None]) | st.dictionaries(st.text(max_size=3), st.integers()),
)


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["file"])
def test_a_golden_message_is_read_upgraded_or_refused_as_the_index_says(entry: dict[str, Any]) -> None:
    raw = (GOLDEN / entry["file"]).read_bytes()
    if not entry["valid"]:
        with pytest.raises(OrchestratorError) as caught:
            read_task_message(raw, "acme")
        assert (caught.value.code, caught.value.details[0].path) == (entry["error"]["code"], entry["error"]["path"])
        return
    message = read_task_message(raw, "acme")
    if "upgraded" in entry:
        assert message == read_task_message((GOLDEN / entry["upgraded"]).read_bytes(), "acme")


@given(contents)
def test_upgrading_twice_is_upgrading_once_and_changes_nothing_that_it_was_given(content: dict[str, Any]) -> None:
    before = deepcopy(content)
    once = upgrade(content)
    assert upgrade(once) == once
    assert content == before


@given(contents)
def test_an_upgrade_loses_nothing_and_touches_only_the_version_and_the_name_of_the_payload(
    content: dict[str, Any],
) -> None:
    upgraded = upgrade(content)
    own = {"schema_version", "data", "payload"}
    assert {k: v for k, v in upgraded.items() if k not in own} == {k: v for k, v in content.items() if k not in own}
    assert [upgraded[k] for k in ("payload", "data") if k in upgraded] == [
        content[k] for k in ("payload", "data") if k in content
    ]


def message(**fields: Any) -> bytes:
    content = orjson.loads((GOLDEN / "tasks" / "chat.json").read_bytes())
    return orjson.dumps(content | fields)


def test_a_message_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(InvalidBody, match=r"schema_version must be 1\.x"):
        read_task_message(message(schema_version="2.0"), "acme")


def test_a_message_of_another_tenant_is_refused() -> None:
    with pytest.raises(InvalidBody, match="not the tenant of the queue"):
        read_task_message(message(), "globex")


@pytest.mark.parametrize("name", ["created_at", "expires_at"])
def test_a_message_whose_moment_can_not_be_read_is_refused(name: str) -> None:
    with pytest.raises(InvalidBody) as caught:
        read_task_message(message(**{name: "x"}), "acme")
    assert caught.value.details[0].path == f"$.{name}"


def test_a_message_that_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(PayloadTooLarge):
        read_task_message(b"{" * (LARGEST + 1), "acme")
