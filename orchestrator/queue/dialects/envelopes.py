"""The envelope of an entry: documented names, older forms and words become those of a task message, or are refused."""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator.dialects.aliases import read_aliases
from orchestrator.dialects.moments import in_utc
from orchestrator.dialects.runs import LEAST_URGENT, MOST_PRIORITY, SAID
from orchestrator.domain.tasks.task_messages import is_read
from orchestrator.errors import InvalidBody
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.common.ids import is_id
from orchestrator.models.common.timestamps import from_timestamp, moment_fault
from orchestrator.models.tasks.task import TASK_SCHEMA_VERSION

Fields = dict[str, Any]

ALIASES: Final = {
    "timestamp": "created_at",
    "version": "schema_version",
    "source": "source_service",
    "destination": "target_service",
}
KINDS: Final = {
    "agent_execution": "agent.execute",
    "agent": "agent.execute",
    "workflow": "workflow.execute",
    "workflow_execution": "workflow.execute",
    "tool": "tool.execute",
    "tool_execution": "tool.execute",
}
"""What a type that is one word stands for."""
_GENERAL: Final = frozenset({"request", "response", "event"})
"""Types that say nothing of what is to be done."""
_ENVELOPE: Final = frozenset(
    {
        *("message_id", "task_id", "tenant_id", "session_id", "conversation_id", "correlation_id"),
        *("created_at", "expires_at", "schema_version", "status", "type", "priority"),
        *("source_service", "target_service", "delegated_services", "metadata", "payload"),
    }
)
_PASSED_OVER: Final = frozenset({"error", "retries", "completed_at", "event_type"})
"""Documented fields of an entry that change nothing of what it asks for."""
_MOVED: Final = ("source_service", "correlation_id", "session_id", "conversation_id")
"""What the common standards have in the metadata."""
_KNOWN_METADATA: Final[dict[str, type]] = {
    "user_id": str,
    "timeout_ms": int,
    "retry_count": int,
    "message_id": str,
    "deduplication_key": str,
    "trace_id": str,
    "traceparent": str,
    "request_id": str,
}
_MOMENTS: Final = ("created_at", "expires_at")
_MOMENTS_BESIDE: Final = ("scheduled_for", "valid_until")
SYSTEM_USER: Final = "system"


def own_envelope(content: Fields) -> Fields:
    """Return an entry in the shape of a task message of schema 1.1; its payload is left as it is.

    Args:
        content: the entry, parsed.

    Raises:
        InvalidBody: it says something twice, or does not say what is to be done.
    """
    # Programs that write out all their fields say null where they have nothing to say.
    told = read_aliases({name: value for name, value in content.items() if value is not None}, ALIASES, "$")
    if "payload" not in told and "data" in told:
        told["payload"] = told.pop("data")
    if is_read(told.get("schema_version")):
        told["schema_version"] = TASK_SCHEMA_VERSION
    metadata = told.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise fault("$.metadata", "must be an object")
    metadata = dict(metadata)
    for name in _MOVED:
        if told.get(name) is None and metadata.get(name) is not None:
            told[name] = metadata.pop(name)
    if isinstance(told.get("status"), str):
        told["status"] = SAID.get(told["status"], told["status"])
    if told.get("priority") == MOST_PRIORITY:
        told["priority"] = LEAST_URGENT
    told["type"] = _kind(told)
    _fill_in(told)
    _say_utc(told, _MOMENTS)
    _say_utc(metadata, _MOMENTS_BESIDE)
    _end_by(told, metadata.pop("valid_until", None))
    told["metadata"] = _metadata(metadata, str(told.get("source_service") or SYSTEM_USER))
    return {name: value for name, value in told.items() if name in _ENVELOPE or name not in _PASSED_OVER}


def _end_by(told: Fields, valid_until: Any) -> None:
    """Have an entry end with its validity, where that is over before it expires."""
    expires = told.get("expires_at")
    if valid_until is None:
        return
    if expires is None:
        told["expires_at"] = valid_until
        return
    wrong = moment_fault(valid_until) if isinstance(valid_until, str) else "must be a string"
    if wrong is not None:
        raise fault("$.metadata.valid_until", wrong)
    if isinstance(expires, str) and moment_fault(expires) is None:
        told["expires_at"] = min(expires, valid_until, key=from_timestamp)


def _say_utc(fields: Fields, names: tuple[str, ...]) -> None:
    """Take moments without an offset for such of UTC."""
    for name in names:
        if isinstance(fields.get(name), str):
            fields[name] = in_utc(fields[name])


def _fill_in(told: Fields) -> None:
    """Make the ids that older forms do not have of those that they have."""
    if told.get("task_id") is None and told.get("message_id") is not None:
        told["task_id"] = told["message_id"]
    if told.get("message_id") is None and told.get("task_id") is not None:
        told["message_id"] = told["task_id"]
    if told.get("correlation_id") is None and told.get("task_id") is not None:
        told["correlation_id"] = told["task_id"]


def _kind(told: Mapping[str, Any]) -> Any:
    """Return the type as domain and action."""
    kind = told.get("type")
    if not isinstance(kind, str):
        return kind
    name = KINDS.get(kind, kind)
    if name in _GENERAL:
        name = _asked_for(told.get("payload"))
    domain, _, action = name.partition(".")
    if not domain or not action:
        raise fault("$.type", "names no domain and action, and the payload alone does not say what is to be done")
    return {"domain": domain, "action": action}


def _asked_for(payload: Any) -> str:
    """Return what a payload alone asks for; empty where that is not plain."""
    if not isinstance(payload, dict):
        return ""
    found = [
        kind
        for kind, names in (
            ("workflow.execute", ("workflow_id", "workflow_template_id")),
            ("tool.execute", ("tool_id",)),
            ("agent.execute", ("agent_id", "agent_config")),
        )
        if any(name in payload for name in names)
    ]
    return found[0] if len(found) == 1 else ""


def _metadata(told: Fields, sender: str) -> Fields:
    """Return metadata: what is known here by name, and all else as it came, to be passed on."""
    known: Fields = {}
    carried: Fields = {}
    for name, value in told.items():
        kind = _KNOWN_METADATA.get(name)
        if kind is None:
            carried[name] = value
        elif value is not None:
            known[name] = value
    known.setdefault("user_id", sender)
    if carried:
        known["carried"] = carried
    return known


def service_of(name: str) -> str:
    """Return the name of a service as keys have it: with underscores.

    Raises:
        InvalidBody: it is none.
    """
    service = name.replace("-", "_")
    if not is_id(service):
        raise fault("$.source_service", "must be the name of a service, whose results these are")
    return service


def fault(path: str, message: str) -> InvalidBody:
    """Return the refusal of one field."""
    return InvalidBody(f"{path} {message}.", details=[FieldFault(path, message)])
