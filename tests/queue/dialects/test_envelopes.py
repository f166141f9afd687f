"""The envelopes of entries: what other programs write is read where it is plain."""

from typing import Any

import pytest

from orchestrator.errors import InvalidBody
from orchestrator.queue.dialects.envelopes import own_envelope, service_of

ENTRY: dict[str, Any] = {"task_id": "t1", "type": "workflow", "payload": {"workflow_id": "w"}, "source_service": "s"}


def read(**fields: Any) -> dict[str, Any]:
    return own_envelope({**ENTRY, **fields})


@pytest.mark.parametrize(("sent", "taken"), [(0, 0), (5, 5), (9, 9), (10, 9), (11, 11)])
def test_the_least_urgent_priority_is_nine_or_ten(sent: int, taken: int) -> None:
    assert read(priority=sent)["priority"] == taken


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.7", "1", None])
def test_a_version_is_any_of_the_first(version: str | None) -> None:
    assert read(schema_version=version)["schema_version"] == "1.1"
    assert read(schema_version="2.0")["schema_version"] == "2.0"


@pytest.mark.parametrize("name", ["workflow-engine", "workflow_engine", "agent_orchestrator", "agent-orchestrator"])
def test_a_service_is_named_with_underscores_or_hyphens(name: str) -> None:
    assert service_of(read(source_service=name)["source_service"]) == name.replace("-", "_")


def test_an_older_envelope_is_read_by_its_names() -> None:
    old = {"timestamp": "2026-01-15T09:00:00Z", "version": "1.0", "source": "s", "destination": "d", "task_id": "t1"}
    own = own_envelope({**old, "type": "request", "data": {"tool_id": "calculator"}})
    assert (own["created_at"], own["source_service"], own["target_service"]) == (old["timestamp"], "s", "d")
    assert (own["type"], own["payload"]) == ({"domain": "tool", "action": "execute"}, {"tool_id": "calculator"})
    assert (own["schema_version"], own["message_id"], own["correlation_id"]) == ("1.1", "t1", "t1")


@pytest.mark.parametrize(
    ("said", "status"),
    [("queued", "pending"), ("in_progress", "processing"), ("running", "processing"), ("canceled", "cancelled")],
)
def test_a_status_is_read_in_every_word_for_it(said: str, status: str) -> None:
    assert read(status=said)["status"] == status


@pytest.mark.parametrize("payload", [{"what": "is it"}, {"workflow_id": "w", "tool_id": "t"}, "text"])
def test_a_type_that_says_nothing_is_refused_where_the_payload_is_not_plain(payload: Any) -> None:
    with pytest.raises(InvalidBody, match="names no domain and action"):
        read(type="request", payload=payload)


def test_null_is_what_was_not_said() -> None:
    said = {"session_id": None, "priority": None, "status": None, "schema_version": None, "metadata": None}
    assert read(**said) == read()


@pytest.mark.parametrize(
    ("moment", "read"),
    [
        ("2026-01-15T09:00:00", "2026-01-15T09:00:00Z"),
        ("2026-01-15T09:00:00.123456", "2026-01-15T09:00:00.123456Z"),
        ("2026-01-15T09:00:00+02:00", "2026-01-15T09:00:00+02:00"),
        ("2026-01-15T09:00:00Z", "2026-01-15T09:00:00Z"),
        ("soon", "soon"),
        ("2026-01-15", "2026-01-15"),
    ],
)
def test_a_moment_without_an_offset_is_one_of_utc(moment: str, read: str) -> None:
    metadata = {"scheduled_for": moment, "valid_until": moment}
    own = own_envelope({**ENTRY, "created_at": moment, "metadata": metadata})
    assert (own["created_at"], own["expires_at"]) == (read, read)
    assert own["metadata"]["carried"]["scheduled_for"] == read
    assert metadata["scheduled_for"] == moment


@pytest.mark.parametrize(
    ("valid_until", "expires_at", "ends"),
    [
        ("2026-01-15T09:00:00Z", "2026-01-15T10:00:00Z", "2026-01-15T09:00:00Z"),
        ("2026-01-15T09:00:00Z", "2026-01-15T10:00:00+02:00", "2026-01-15T10:00:00+02:00"),
        ("2026-01-15T09:00:00Z", None, "2026-01-15T09:00:00Z"),
        (None, "2026-01-15T10:00:00Z", "2026-01-15T10:00:00Z"),
    ],
)
def test_an_entry_ends_with_its_validity_or_as_it_expires_whichever_comes_first(
    valid_until: str | None, expires_at: str | None, ends: str
) -> None:
    own = own_envelope({**ENTRY, "expires_at": expires_at, "metadata": {"valid_until": valid_until}})
    assert own["expires_at"] == ends


def test_a_validity_that_is_no_moment_is_told_beside_an_expiry_too() -> None:
    entry = {**ENTRY, "expires_at": "2026-01-15T10:00:00Z", "metadata": {"valid_until": "soon"}}
    with pytest.raises(InvalidBody) as refused:
        own_envelope(entry)
    assert [fault.path for fault in refused.value.details] == ["$.metadata.valid_until"]
