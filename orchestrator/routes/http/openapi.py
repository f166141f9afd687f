"""The OpenAPI 3.1 document, made from the table of routes and the models."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Final

from attrs import evolve, frozen
from msgspec import Meta

from orchestrator import errors as faults
from orchestrator.dialects.frontend_errors import FrontendFailure
from orchestrator.errors import OrchestratorError
from orchestrator.models.common.envelope import AnswerMeta, ErrorBody, FieldFault, MessageType, Status
from orchestrator.models.common.ids import ID_PATTERN, IDEMPOTENCY_KEY_PATTERN, Id
from orchestrator.models.common.timestamps import Timestamp
from orchestrator.routes.dialects.description import asked_of, parameters_of, told_of
from orchestrator.routes.dialects.paths import PLAIN_PATHS, PlainPath
from orchestrator.routes.dialects.record import NO_NAMES, RouteDialect
from orchestrator.routes.dialects.table import dialect_of
from orchestrator.routes.http.event_stream import EVENT_STREAM, LAST_EVENT_ID_PATTERN
from orchestrator.routes.http.open_routes import OPEN_ROUTES, OpenRoute
from orchestrator.routes.http.registry import Access, Route
from orchestrator.schemas import PREFIX, Schemas

_JSON: Final = "application/json"
_ALWAYS: Final = (
    faults.InvalidParameter,
    faults.Unauthorized,
    faults.PermissionMissing,
    faults.TenantNotGranted,
    faults.RateLimited,
    faults.InternalFault,
    faults.StoreUnavailable,
    faults.TenantDamaged,
)
_WITH_BODY: Final = (
    faults.InvalidBody,
    faults.Unprocessable,
    faults.PayloadTooLarge,
    faults.UnsupportedMediaType,
    faults.TenantPaused,
    faults.TenantDraining,
)
_HEADERS_IN: Final = {
    "X-Tenant-ID": "The tenant, where the credentials are good for several.",
    "X-Correlation-ID": "Joins what belongs together across services; comes back.",
    "X-Message-ID": "Identifies the message; serves as idempotency key where there is no other.",
    "X-Request-Priority": "0 (highest) to 9.",
    "X-Source-Service": "`frontend`: failures are told by the codes of the guide for frontends, too.",
    "traceparent": "W3C trace context.",
    "Idempotency-Key": "The same key with the same body is done once within 24 hours.",
    "Last-Event-ID": "Of a stream that was cut off: the last event that arrived.",
}
_VERSION_PATTERN: Final = r"^1(\.[\s\S]*)?$"
"""Of an envelope: what is added to version 1 changes nothing of what it is read by."""
_ID_SCHEMA: Final = {"type": "string", "pattern": ID_PATTERN}
_HEADER_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "X-Correlation-ID": _ID_SCHEMA,
    "X-Message-ID": _ID_SCHEMA,
    "X-Tenant-ID": _ID_SCHEMA,
    "X-Request-Priority": {"type": "integer", "minimum": 0, "maximum": 9},
    "Idempotency-Key": {"type": "string", "pattern": IDEMPOTENCY_KEY_PATTERN},
    "Last-Event-ID": {"type": "string", "pattern": LAST_EVENT_ID_PATTERN},
}
_HEADERS_OUT: Final = {
    "X-Correlation-ID": "As in the request, or made.",
    "X-Request-ID": "Identifies this very request in the logs.",
    "RateLimit": "What is left of the rate limit (IETF draft).",
    "RateLimit-Policy": "The rate limit (IETF draft).",
    "Retry-After": "Seconds until a retry makes sense.",
    "X-Next-Cursor": "Where the next page begins; missing on the last one.",
    "Idempotent-Replayed": "`true` where this is the answer to an earlier request with the same key.",
}
_SECURITY: Final = {
    Access.BEARER: ("bearer",),
    Access.INTERNAL: ("apiKey",),
    Access.ADMIN: ("apiKey",),
    Access.OPERATOR: ("apiKey",),
    Access.SERVICE: ("bearer", "apiKey"),
}


@frozen
class AnswerEnvelope:
    """What every answer travels in."""

    message_id: Id
    correlation_id: Id
    type: MessageType
    schema_version: str
    created_at: Timestamp
    tenant_id: Id | None
    source_service: str
    data: Any
    status: Status
    meta: AnswerMeta
    error: Annotated[ErrorBody | None, Meta(description="Only where something went wrong; `data` is then null.")] = None


@frozen
class Problem:
    """An error as RFC 9457 writes it, for clients that accept `application/problem+json`."""

    type: Annotated[str, Meta(description="Where the code is described.")]
    title: str
    status: int
    detail: str
    error_type: Annotated[str, Meta(description="The class of the error, such as `validation_error`.")]
    code: Annotated[str, Meta(description="A stable code such as `ORCH_VAL_001`.")]
    message: str
    details: list[FieldFault]
    retryable: bool
    retry_after_ms: int | None
    service: str
    correlation_id: str | None


def build_document(routes: Iterable[Route], paths: Iterable[str], public_url: str) -> dict[str, Any]:
    """Describe the API.

    Args:
        routes: those with an envelope.
        paths: every path that the application serves; open routes that are not among them are left out.
        public_url: base URL that clients see; empty: that of the document.
    """
    routes, served = list(routes), set(paths)
    writer = _Writer(Schemas())
    described: dict[str, dict[str, Any]] = {}
    # Requests first: what clients send is closed to unknown fields, also where it comes back in answers.
    operations = [(route, writer.request(route)) for route in routes]
    for route, request in operations:
        described.setdefault(route.path, {})[route.method.lower()] = writer.operation(route, request)
    of_route = {route.name: (route, request) for route, request in operations if route.access is not Access.OPERATOR}
    for plain in PLAIN_PATHS:
        if plain.route in of_route:
            described.setdefault(plain.path, {})[plain.method.lower()] = writer.plain(plain, *of_route[plain.route])
    for path, open_route in OPEN_ROUTES.items():
        if path in served:
            described[path] = {"get": writer.open_operation(open_route)}
    tags = sorted({route.name.partition(".")[0] for route in routes})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Agent Orchestrator Service",
            "version": "1.0.0",
            "description": "Sessions, chat turns and tasks of the Nooble AI platform.",
        },
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": tag} for tag in [*tags, "service"]],
        "paths": described,
        "components": writer.components(),
    }


@frozen
class _Writer:
    """Writes the parts of the document, and collects the schemas they refer to."""

    schemas: Schemas

    def components(self) -> dict[str, Any]:
        self.schemas.of(Problem)
        return {
            "schemas": dict(sorted(self.schemas.components.items())),
            "parameters": {
                name: {
                    "name": name,
                    "in": "header",
                    "description": words,
                    "schema": _HEADER_SCHEMAS.get(name, {"type": "string"}),
                }
                for name, words in _HEADERS_IN.items()
            },
            "headers": {
                name: {"description": words, "schema": {"type": "string"}} for name, words in _HEADERS_OUT.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        }

    def request(self, route: Route) -> dict[str, Any] | None:
        """Describe the body: `data` alone, or in its envelope."""
        if route.body is None:
            return None
        data = asked_of(self.schemas, route.body, _dialect_of(route))
        domain, _, action = route.name.partition(".")
        kind = {"domain": {"const": domain}, "action": {"const": action}}
        envelope = {
            "type": "object",
            "required": ["data"],
            "additionalProperties": False,
            "properties": {
                "data": data,
                "type": _or_null({"type": "object", "required": list(kind), "properties": kind}),
                "message_id": _or_null(self.schemas.of(Id)),
                "correlation_id": _or_null(self.schemas.of(Id)),
                "tenant_id": _or_null(self.schemas.of(Id)),
                "created_at": _or_null(self.schemas.of(Timestamp)),
                "schema_version": _or_null({"type": "string", "pattern": _VERSION_PATTERN}),
                "source_service": _or_null({"type": "string"}),
            },
        }
        # Where every field may be left out, so may the body.
        is_required = bool(self.schemas.components.get(route.body.__name__, {}).get("required"))
        return {"required": is_required, "content": {_JSON: {"schema": {"anyOf": [data, envelope]}}}}

    def operation(self, route: Route, request: dict[str, Any] | None) -> dict[str, Any]:
        """Describe a route."""
        permissions = " or ".join(f"`{permission}`" for permission in (route.permission, *route.or_permissions))
        needs = f"Needs {permissions}." if route.permission else f"Needs an API key ({route.access})."
        if route.holder_permission:
            needs += f" A token with `{route.holder_permission}` does as well, for its own tenant."
        if route.access is Access.OPERATOR:
            scopes = "admin or internal" if route.for_services else "admin"
            needs = f"Needs an API key ({scopes}), and the tenant in `X-Tenant-ID`."
        described: dict[str, Any] = {
            "operationId": route.operation,
            "summary": route.summary,
            "description": needs,
            "tags": [route.name.partition(".")[0]],
            "security": [
                {scheme: []} for scheme in _SECURITY[route.access] + ("bearer",) * bool(route.holder_permission)
            ],
            "parameters": self._parameters(route),
            "responses": {**self._successes(route), **self._failures(route)},
        }
        if request is not None:
            described["requestBody"] = request
        return described

    def plain(self, plain: PlainPath, route: Route, request: dict[str, Any] | None) -> dict[str, Any]:
        """Describe another path of a route."""
        described = self.operation(evolve(route, id_name="id" if plain.id_name else None), request)
        words = f"{described['description']} Another path of `{route.name}`."
        return {**described, "operationId": plain.name, "description": words}

    def open_operation(self, route: OpenRoute) -> dict[str, Any]:
        """Describe a route without envelope."""
        schema = self.schemas.of(route.model) if route.model else {}
        content = {route.media_type: {"schema": schema} if schema else {}}
        responses = {
            str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in route.statuses
        }
        return {
            "operationId": route.name,
            "summary": route.summary,
            "tags": ["service"],
            "security": [{scheme: []} for scheme in route.security],
            "responses": {**responses, **self._told(route.errors)},
        }

    def _parameters(self, route: Route) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = []
        if route.id_name:
            parameters.append({"name": route.id_name, "in": "path", "required": True, "schema": self.schemas.of(Id)})
        for name, described in parameters_of(self.schemas, route.query, _dialect_of(route)).items():
            schema = _given(described)
            words = schema.pop("description", "")
            parameters.append({"name": name, "in": "query", "description": words, "schema": schema})
        headers = [name for name in _HEADERS_IN if name not in {"Idempotency-Key", "Last-Event-ID"}]
        if route.idempotent:
            headers.append("Idempotency-Key")
        streams = any(EVENT_STREAM in media_types for _, _, media_types in route.also.values())
        if streams or route.media_type == EVENT_STREAM:
            headers.append("Last-Event-ID")
        return parameters + [{"$ref": f"#/components/parameters/{name}"} for name in headers]

    def _successes(self, route: Route) -> dict[str, Any]:
        names = ["X-Correlation-ID", "X-Request-ID", "RateLimit", "RateLimit-Policy"]
        if route.idempotent:
            names.append("Idempotent-Replayed")
        headers = _header_refs(names)
        data = told_of(self.schemas, route.answer, _dialect_of(route), paged=route.paged)
        phrase = HTTPStatus(route.status).phrase
        successes = {str(route.status): self._success(phrase, data, headers, ())}
        if route.media_type is not None:
            plain = {route.media_type: {"schema": {"type": "string"}}}
            if route.media_type != EVENT_STREAM:
                headers |= _header_refs(["X-Next-Cursor"])
            successes = {str(route.status): {"description": phrase, "headers": headers, "content": plain}}
        for status, (words, model, media_types) in route.also.items():
            successes[str(status)] = self._success(words, self.schemas.of(model), headers, media_types)
        return successes

    def _success(
        self, words: str, data: dict[str, Any], headers: dict[str, Any], media_types: Iterable[str]
    ) -> dict[str, Any]:
        envelope = self.schemas.of(AnswerEnvelope)
        narrowed = {"allOf": [envelope, {"type": "object", "properties": {"data": data}}]}
        content: dict[str, Any] = {_JSON: {"schema": narrowed}}
        content |= {media_type: {"schema": {"type": "string"}} for media_type in media_types}
        return {"description": words, "headers": headers, "content": content}

    def _failures(self, route: Route) -> dict[str, Any]:
        kinds: set[type[OrchestratorError]] = {*_ALWAYS, *route.errors}
        if route.access in {Access.BEARER, Access.OPERATOR}:
            kinds.add(faults.ServiceUnreachable)
        if route.method != "GET":
            kinds.update(_WITH_BODY)
        return self._told(kinds)

    def _told(self, kinds: Iterable[type[OrchestratorError]]) -> dict[str, Any]:
        by_status: dict[int, list[type[OrchestratorError]]] = {}
        for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code, kind.__name__)):
            by_status.setdefault(kind.status, []).append(kind)
        return {str(status): self._failure(status, told) for status, told in by_status.items()}

    def _failure(self, status: int, kinds: list[type[OrchestratorError]]) -> dict[str, Any]:
        names = ["X-Correlation-ID", "X-Request-ID"]
        if any(kind.retryable for kind in kinds):
            names.append("Retry-After")
        told = "\n".join(f"- `{kind.code}` {(kind.__doc__ or '').splitlines()[0]}" for kind in kinds)
        codes = {"properties": {"code": {"enum": sorted({kind.code for kind in kinds})}}}
        error = {
            "type": "object",
            "required": ["error"],
            "properties": {"error": codes, "data": _or_null(self.schemas.of(FrontendFailure))},
        }
        return {
            "description": f"{HTTPStatus(status).phrase}\n\n{told}",
            "headers": _header_refs(names),
            "content": {
                _JSON: {"schema": {"allOf": [self.schemas.of(AnswerEnvelope), error]}},
                "application/problem+json": {"schema": {"$ref": f"{PREFIX}Problem"}},
            },
        }


def _dialect_of(route: Route) -> RouteDialect:
    return dialect_of(route.method, route.name) or NO_NAMES


def _header_refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe a query parameter that is there: one that is left out is no null."""
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    return (
        {**options[0], **{name: part for name, part in schema.items() if name != "anyOf"}} if options else dict(schema)
    )
