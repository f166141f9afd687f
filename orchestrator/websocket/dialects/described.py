"""What `/asyncapi.json` says of the dialects, made from the tables that translate."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from orchestrator.dialects.runs import TOLD
from orchestrator.models.common.envelope import Status
from orchestrator.schemas import Schemas
from orchestrator.websocket.dialects.additions import ADDITIONS
from orchestrator.websocket.dialects.client_frames import FORMS, Form
from orchestrator.websocket.dialects.dialect import DOMAIN_ACTION
from orchestrator.websocket.dialects.domain_action import ERROR, ERROR_MODEL, FRAMES

PREFIX: Final = "domain_action"
"""Before the names of messages."""
FORM: Final = "documented"
"""Before the names of clients' messages in their documented forms."""
EXAMPLES: Final[Mapping[str, Any]] = {
    "session.sync": {
        "session_id": "s-1",
        "last_message_id": "m-1",
        "client_state": {"last_event_timestamp": "2026-01-15T09:00:00.000Z", "active_workflows": ["t-1"]},
    },
    "system.ping": {
        "client_timestamp": "2026-01-15T09:00:00.000Z",
        "client_info": {"version": "3.1.0", "platform": "web"},
    },
    "workflow.cancel": {"workflow_id": "t-1", "reason": "no longer needed", "notify_user": False},
    "workflow.input": {"workflow_id": "t-1", "request_id": "ask-1", "input_data": {"approved": True}},
    "chat.cancel": {"session_id": "s-1", "target_message_id": "m-1", "reason": "no longer needed"},
}
"""The data of each of these, by name."""
_MODELS: Final = {frame.name: frame.model for frame in FRAMES.values()} | {ERROR: ERROR_MODEL}


def documented_names(schemas: Schemas, name: str) -> list[dict[str, Any]]:
    """Return what a message of the default dialect has beside its own data.

    Args:
        schemas: where models are named.
        name: the event, `domain.action`.
    """
    addition = ADDITIONS.get(name)
    return [] if addition is None else [{"properties": {"data": schemas.of(addition.model)}}]


def told_statuses(schemas: Schemas) -> None:
    """Have the words for statuses that clients are told beside those of tasks."""
    words = schemas.components["TaskStatus"]["enum"]
    words += sorted(set(TOLD.values()) - set(words))


def messages(schemas: Schemas, envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the messages of `domain-action` that differ from the default dialect.

    Args:
        schemas: where models are named.
        envelope: the schema of what every frame travels in.
    """
    return {f"{PREFIX}.{name}": _message(schemas, envelope, name, model) for name, model in _MODELS.items()}


def names(events: set[str]) -> list[str]:
    """Return the messages of `domain-action` on a channel that has these events."""
    told = [frame.name for event, frame in FRAMES.items() if event in events] + [ERROR]
    return [f"{PREFIX}.{name}" for name in told]


def forms(schemas: Schemas, envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the messages of clients in their documented forms.

    Args:
        schemas: where models are named.
        envelope: the schema of what every frame of a client travels in.
    """
    return {f"{FORM}.{name}": _form(schemas, envelope, name, form) for name, form in FORMS.items()}


def form_names(frames: Iterable[str]) -> list[str]:
    """Return the documented forms on a channel that takes these frames."""
    return [f"{FORM}.{name}" for name in frames if name in FORMS]


def _form(schemas: Schemas, envelope: dict[str, Any], name: str, form: Form) -> dict[str, Any]:
    schemas.of(form.model, closed=True)
    data = schemas.components[form.model.__name__]
    aliases = {alias: data["properties"][own] for alias, own in form.aliases.items()}
    data = data | {"properties": data["properties"] | aliases}
    title, summary = f"{name} (documented)", (form.model.__doc__ or "").splitlines()[0]
    example = {"name": name, "payload": {"type": _kind(name), "data": EXAMPLES[name]}}
    return _described(name, title, summary, envelope, {"data": data}) | {"examples": [example]}


def _message(schemas: Schemas, envelope: dict[str, Any], name: str, model: type) -> dict[str, Any]:
    parts = {"data": schemas.of(model)} | ({"status": schemas.of(Status)} if name == ERROR else {})
    summary = f"{(model.__doc__ or '').splitlines()[0]} To clients that chose `{DOMAIN_ACTION}`."
    return _described(name, f"{name} ({DOMAIN_ACTION})", summary, envelope, parts)


def _described(name: str, title: str, summary: str, envelope: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    kind = {field: {"const": word} for field, word in _kind(name).items()}
    properties = {"type": {"type": "object", "required": list(kind), "properties": kind}, **parts}
    return {
        "name": name,
        "title": title,
        "summary": summary,
        "contentType": "application/json",
        "correlationId": {"location": "$message.payload#/correlation_id"},
        "payload": {"allOf": [envelope, {"type": "object", "required": list(properties), "properties": properties}]},
    }


def _kind(name: str) -> dict[str, str]:
    domain, _, action = name.partition(".")
    return {"domain": domain, "action": action}
