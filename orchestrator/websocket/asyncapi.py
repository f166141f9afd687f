"""The AsyncAPI 3.0 document of the sockets, made from the tables of frames and the models that encode them."""

from collections.abc import Iterable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from attrs import frozen
from msgspec import Meta

from orchestrator.config.constants import BAD_FRAMES_PER_MINUTE, MAX_FRAME_BYTES, SUBPROTOCOL, TICKET_SECONDS
from orchestrator.errors import CredentialsMissing, RateLimited, ServiceFault
from orchestrator.models.common.envelope import SCHEMA_VERSION, MessageType, RequestEnvelope
from orchestrator.models.common.ids import Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.models.events.events import BATCH_EVENTS, NOTIFICATION_EVENTS, SERVER_EVENTS, WORKFLOW_EVENTS
from orchestrator.models.tasks.task_updates import TaskUpdated
from orchestrator.schemas import Schemas
from orchestrator.services.subjects import SESSION_PERMISSION as PERMISSION
from orchestrator.services.subjects import WORKFLOW_PERMISSION
from orchestrator.websocket import closing, connection_manager, handlers, refusals
from orchestrator.websocket.dialects import described
from orchestrator.websocket.dialects.dialect import DOMAIN_ACTION, FAILED
from orchestrator.websocket.examples import example_frame
from orchestrator.websocket.handlers import HANDLERS
from orchestrator.websocket.task_updates import ANSWER, UPDATES

CHANNEL: Final = "chat"
BATCH_CHANNEL: Final = "batch"
WORKFLOW_CHANNEL: Final = "workflow"
NOTIFICATION_CHANNEL: Final = "notifications"
UPDATE_CHANNEL: Final = "task_updates"
_SYSTEM_FRAMES: Final = ("system.error", "system.pong", "system.reconnect")
_AUTHENTICATED: Final = "system.authenticated"
_BATCH_FRAMES: Final = (*BATCH_EVENTS, *_SYSTEM_FRAMES, _AUTHENTICATED)
_BATCH_SAYS: Final = ("system.auth", "system.ping", "session.sync")
_WORKFLOW_FRAMES: Final = (*WORKFLOW_EVENTS, *_SYSTEM_FRAMES, _AUTHENTICATED)
_WORKFLOW_SAYS: Final = ("workflow.input", "workflow.cancel", *_BATCH_SAYS)
_NOTIFICATION_FRAMES: Final = (*NOTIFICATION_EVENTS, *_SYSTEM_FRAMES, _AUTHENTICATED)
_UPDATE_FRAMES: Final = (ANSWER, *_SYSTEM_FRAMES)
_CLOSE_CODES: Final = {
    closing.NORMAL: "The session was closed, or the workflow or batch has ended.",
    connection_manager.GOING_AWAY: "The server is going away; `system.reconnect` came before.",
    handlers.TOO_BIG: f"A frame was over {MAX_FRAME_BYTES} bytes.",
    closing.INTERNAL: "No pong came in time, or the service failed.",
    ServiceFault.close_code: "Refused: the service is going away, or something that it depends on is.",
    CredentialsMissing.close_code: "Refused: no credentials came.",
    closing.TOKEN: "The token has expired, was revoked, is none or does not suffice.",
    closing.UNKNOWN: "The session, workflow or batch is not there, or not any more.",
    closing.TOO_SLOW: "The client reads too slowly; it may resume by offset.",
    FAILED: f"What 1011 says, to clients that chose `{DOMAIN_ACTION}`.",
    RateLimited.close_code: "Refused: too many requests or sockets; `retry_after_ms` says how long to wait.",
    handlers.TOO_MANY_BAD: f"{BAD_FRAMES_PER_MINUTE} bad frames came within a minute; or refused: a bad parameter.",
}
_UPDATE_CLOSE_CODES: Final = {
    code: _CLOSE_CODES[code]
    for code in (connection_manager.GOING_AWAY, handlers.TOO_BIG, closing.INTERNAL, handlers.TOO_MANY_BAD)
}
_QUERY: Final[dict[str, Any]] = {
    "last_offset": {
        "type": "integer",
        "minimum": 0,
        "description": "Resume: the offset of the last frame that arrived.",
    },
    "epoch": {"type": "string", "description": "Resume: the epoch of that frame."},
    "ticket": {
        "type": "string",
        "description": f"Instead of a token: what `session.ticket` gave, once, within {TICKET_SECONDS} seconds.",
    },
    refusals.TOKEN: {
        "type": "string",
        "description": "The token, where no better way is open; proxies may log it. Refusals are told as by `close=1`.",
    },
    refusals.CLOSE: {
        "const": "1",
        "description": "Refusals are told in a way that browsers show: the socket opens, `system.error` says why, and "
        "it closes with one of the codes below.",
    },
}
_HEADERS: Final[dict[str, Any]] = {
    "Authorization": {"type": "string", "description": "`Bearer` and the token."},
    "Sec-WebSocket-Protocol": {
        "type": "string",
        "description": f"`{SUBPROTOCOL}`, which the server selects; `{DOMAIN_ACTION}` instead, for the frames of that "
        "dialect; and `bearer.` with the token, where that comes so.",
    },
    "Origin": {"type": "string", "description": "Of a browser's page; it must be an allowed one."},
    "X-Tenant-ID": {"type": "string", "description": "The tenant, where the token is good for several."},
    "X-Correlation-ID": {"type": "string", "description": "Comes back in the first frame."},
}
_SERVICE_HEADERS: Final[dict[str, Any]] = {
    "X-API-Key": {"type": "string", "description": "The service's key, of the scope `internal`."},
    "X-Tenant-ID": {"type": "string", "description": "The tenant whose work it is."},
}
_SERVICE_SECURITY: Final[dict[str, Any]] = {
    "apiKey": {"type": "httpApiKey", "in": "header", "name": "X-API-Key", "description": "A key of a service."},
}
_SECURITY: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket", "description": "A ticket that is used once."},
    "token": {
        "type": "httpApiKey",
        "in": "query",
        "name": refusals.TOKEN,
        "description": "The token, where no better way is open.",
    },
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": f"`{SUBPROTOCOL}, bearer.<token>`, for browsers.",
    },
}


@frozen
class EventEnvelope:
    """What every frame of the server travels in."""

    offset: Annotated[
        int,
        Meta(ge=0, description="1, 2, 3… without gaps; frames of one socket alone repeat the last one sent on it."),
    ]
    epoch: Annotated[str, Meta(description="Changes when the log was lost; offsets then begin anew.")]
    data: Any
    message_id: Id
    correlation_id: Annotated[str, Meta(description="The request or frame that it belongs to.")]
    type: MessageType
    schema_version: Annotated[str, Meta(description=f"`{SCHEMA_VERSION}`.")]
    created_at: Timestamp
    tenant_id: Annotated[Id | None, Meta(description="Null in a refusal, where the tenant is not known yet.")]
    source_service: str


def build_document(public_url: str) -> dict[str, Any]:
    """Describe the sockets.

    Args:
        public_url: base URL that clients see; empty: the server is the one that the document came from.
    """
    schemas = Schemas()
    # The client's frames first: what clients send is closed to unknown fields, also where it comes back in events.
    said = {**HANDLERS, **UPDATES}
    messages = {_said(name): _message(schemas, name, handler.model, sent=False) for name, handler in said.items()}
    told = SERVER_EVENTS | BATCH_EVENTS | NOTIFICATION_EVENTS | {ANSWER: TaskUpdated}
    messages |= {_told(name): _message(schemas, name, model, sent=True) for name, model in told.items()}
    messages |= described.messages(schemas, schemas.of(EventEnvelope))
    messages |= described.forms(schemas, schemas.of(RequestEnvelope, closed=True))
    described.told_statuses(schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Agent Orchestrator Service: sockets",
            "version": "1.0.0",
            "description": "Sessions of the Nooble AI platform, workflows, batches and notifications, followed live "
            "and spoken to; and the socket on which services tell of work that was handed on to them.",
        },
        "defaultContentType": "application/json",
        **_servers(public_url),
        "channels": {
            CHANNEL: _channel(),
            BATCH_CHANNEL: _batch_channel(),
            WORKFLOW_CHANNEL: _workflow_channel(),
            NOTIFICATION_CHANNEL: _notification_channel(),
            UPDATE_CHANNEL: _update_channel(),
        },
        "operations": _operations(),
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "messages": messages,
            "securitySchemes": _SECURITY | _SERVICE_SECURITY,
        },
    }


def _servers(public_url: str) -> dict[str, Any]:
    if not public_url:
        return {}
    parts = urlsplit(public_url)
    server: dict[str, Any] = {"host": parts.netloc, "protocol": "wss" if parts.scheme == "https" else "ws"}
    if parts.path.strip("/"):
        server["pathname"] = parts.path.rstrip("/")
    return {"servers": {"service": server}}


def _batch_channel() -> dict[str, Any]:
    frames = [*map(_told, _BATCH_FRAMES), *map(_said, _BATCH_SAYS), *described.form_names(_BATCH_SAYS)]
    return _channel() | {
        "address": "/ws/v1/workflow/{task_id}",
        "title": "One batch",
        "description": "How far a batch is, until it has ended: first as it stands, then at most a few times a second. "
        f"Opening it needs `{WORKFLOW_PERMISSION}`.",
        "parameters": {"task_id": {"description": "The batch."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in frames},
    }


def _workflow_channel() -> dict[str, Any]:
    frames = [*map(_told, _WORKFLOW_FRAMES), *map(_said, _WORKFLOW_SAYS), *described.names({*WORKFLOW_EVENTS})]
    frames += described.form_names(_WORKFLOW_SAYS)
    return _channel() | {
        "address": "/ws/v1/workflow/{task_id}",
        "title": "One workflow",
        "description": "How far a workflow is, and what it asks its user, until it has ended: first as it stands. "
        f"Opening it needs `{WORKFLOW_PERMISSION}`.",
        "parameters": {"task_id": {"description": "The workflow's task."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in frames},
    }


def _notification_channel() -> dict[str, Any]:
    frames = [*map(_told, _NOTIFICATION_FRAMES), *map(_said, _BATCH_SAYS), *described.form_names(_BATCH_SAYS)]
    return _channel() | {
        "address": "/ws/v1/notifications",
        "title": "One's notifications",
        "description": "What the token's user is notified of: first what waits, then whatever comes; offsets and epoch "
        f"are the user's own. Opening it needs `{PERMISSION}`; a ticket for `notifications`, or for any session of the "
        "user, will do.",
        "parameters": {},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in frames},
    }


def _update_channel() -> dict[str, Any]:
    frames = [*map(_told, _UPDATE_FRAMES), *map(_said, UPDATES)]
    binding = {
        "method": "GET",
        "headers": {"type": "object", "properties": _SERVICE_HEADERS},
        "bindingVersion": "0.1.0",
    }
    return {
        "address": "/internal/v1/ws/task_updates",
        "title": "News of work that was handed on",
        "description": "For services: each frame tells of one task, and is answered before the next one is read. "
        "Nothing is followed here, so offsets and epoch mean nothing.",
        "parameters": {},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in frames},
        "bindings": {"ws": binding},
        "x-close-codes": {str(code): words for code, words in sorted(_UPDATE_CLOSE_CODES.items())},
    }


def _channel() -> dict[str, Any]:
    frames = [*map(_said, HANDLERS), *map(_told, SERVER_EVENTS), *described.names({*SERVER_EVENTS})]
    frames += described.form_names(HANDLERS)
    return {
        "address": "/ws/v1/chat/{session_id}",
        "title": "One session",
        "description": "Several sockets may follow one session; all see the same events. Refusals are HTTP answers "
        f"before the upgrade, as those of the HTTP API, unless `?{refusals.CLOSE}=1` or `?{refusals.TOKEN}=` asks for "
        f"a close code. Opening it needs `{PERMISSION}`.",
        "parameters": {"session_id": {"description": "The session."}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in frames},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": _QUERY},
                "headers": {"type": "object", "properties": _HEADERS},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": {str(code): words for code, words in sorted(_CLOSE_CODES.items())},
    }


def _operations() -> dict[str, Any]:
    follow = "What the service tells those who follow a "
    operations: dict[str, Any] = {
        "events": _sends(CHANNEL, SERVER_EVENTS, f"{follow}session."),
        "progress": _sends(BATCH_CHANNEL, _BATCH_FRAMES, f"{follow}batch."),
        "workflow": _sends(WORKFLOW_CHANNEL, _WORKFLOW_FRAMES, f"{follow}workflow."),
        "notices": _sends(NOTIFICATION_CHANNEL, _NOTIFICATION_FRAMES, "What the service notifies a user of."),
        "dialect": {
            "action": "send",
            "summary": f"{follow}session, where they chose `{DOMAIN_ACTION}`; all else is told as to others.",
            **_in_channel(CHANNEL, described.names({*SERVER_EVENTS})),
        },
        "updated": _sends(UPDATE_CHANNEL, _UPDATE_FRAMES, "What the service answers to services."),
    }
    for name, handler in HANDLERS.items():
        needs = f"Needs `{handler.permission}`." if handler.permission else "Needs nothing but the open socket."
        says = f"{needs} A fault is answered by `system.error`."
        operations[name] = _receives(CHANNEL, name, handler, says)
    for name, handler in UPDATES.items():
        says = f"Is answered by `{ANSWER}`, a fault by `system.error`. `data` must name `task_id`."
        operations[name] = _receives(UPDATE_CHANNEL, name, handler, says)
    return operations


def _sends(channel: str, names: Iterable[str], summary: str) -> dict[str, Any]:
    return {"action": "send", "summary": summary, **_in_channel(channel, map(_told, names))}


def _receives(channel: str, name: str, handler: handlers.FrameHandler, says: str) -> dict[str, Any]:
    told = {"action": "receive", "summary": _first_line(handler.model), "description": says}
    forms = described.form_names([name]) if channel == CHANNEL else []
    return {**told, **_in_channel(channel, [_said(name), *forms])}


def _in_channel(channel: str, messages: Iterable[str]) -> dict[str, Any]:
    schemes = _SERVICE_SECURITY if channel == UPDATE_CHANNEL else _SECURITY
    return {
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in messages],
        "channel": {"$ref": f"#/channels/{channel}"},
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in schemes],
    }


def _message(schemas: Schemas, name: str, model: type, *, sent: bool) -> dict[str, Any]:
    data = schemas.of(model, closed=not sent)
    envelope = schemas.of(EventEnvelope) if sent else schemas.of(RequestEnvelope, closed=True)
    domain, _, action = name.partition(".")
    kind = {"domain": {"const": domain}, "action": {"const": action}}
    narrowed = {
        "type": "object",
        "required": ["type", "data"],
        "properties": {"type": {"type": "object", "required": list(kind), "properties": kind}, "data": data},
    }
    examples = {} if sent else {"examples": [{"name": name, "payload": example_frame(name)}]}
    return {
        "name": name,
        "title": name,
        "summary": _first_line(model),
        "contentType": "application/json",
        "correlationId": {"location": "$message.payload#/correlation_id"},
        "payload": {"allOf": [envelope, narrowed, *(described.documented_names(schemas, name) if sent else [])]},
        **examples,
    }


def _first_line(model: type) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]


def _told(name: str) -> str:
    return f"server.{name}"


def _said(name: str) -> str:
    return f"client.{name}"
