"""Routing in a stand-in: from a path to an operation, and refusals."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import orjson
from attrs import field, frozen

from orchestrator.models.downstream.operation import Operation
from orchestrator.sandbox.serving.http_server import Request, SandboxAnswer, SandboxReply, json_reply

REQUIRED: Final = object()


class SandboxRefusal(Exception):
    """Raised by an operation that refuses a call; becomes the service's error answer.

    Args:
        status: the HTTP status.
        code: the service's own code, such as `CONV_NOTF_001`.
        message: one sentence.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def reply(self) -> SandboxReply:
        """Return the error answer; level 2 reads `error`, level 3 `success` too."""
        error = {"code": self.code, "message": self.message, "retryable": self.status in {429, 502, 503, 504}}
        return json_reply({"success": False, "error": error}, self.status)


@frozen
class SandboxCall:
    """A request to an operation, checked and unpacked."""

    prefix: str
    tenant_id: str
    params: dict[str, str]
    request: Request
    message: dict[str, Any]
    """The whole body."""
    payload: dict[str, Any]
    """The fields of the operation: the message's payload, or the plain body."""

    def get(self, name: str, kind: type, default: Any = REQUIRED) -> Any:
        """Return a field of the payload.

        Raises:
            SandboxRefusal: it is missing and has no default, or is of another type.
        """
        value = self.payload.get(name)
        if value is None:
            if default is REQUIRED:
                raise SandboxRefusal(400, f"{self.prefix}_VAL_001", f"{name} is missing.")
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise SandboxRefusal(400, f"{self.prefix}_VAL_001", f"{name} is not of type {kind.__name__}.")
        return value

    def number(self, name: str, default: int, *, least: int = 1, most: int = 1000) -> int:
        """Return a number from the query string."""
        text = self.request.query.get(name)
        if text is None:
            return default
        if not text.isdecimal() or not least <= int(text) <= most:
            raise SandboxRefusal(400, f"{self.prefix}_VAL_001", f"{name} must be a number from {least} to {most}.")
        return int(text)

    def missing(self, what: str, number: int = 1) -> SandboxRefusal:
        """Return the refusal for something that does not exist, or belongs to another tenant."""
        return SandboxRefusal(404, f"{self.prefix}_NOTF_{number:03d}", f"There is no such {what}.")


@frozen
class SandboxRoute:
    """An operation, and its handler."""

    operation: Operation
    handler: Callable[[SandboxCall], Awaitable[SandboxAnswer]]
    creates: bool = False
    """Whether a repeated `Idempotency-Key` gets the first answer again."""
    segments: tuple[str, ...] = field(init=False)

    @segments.default
    def _split(self) -> tuple[str, ...]:
        return tuple(self.operation.path.split("/")[1:])

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """Return the path parameters, or None where the path is another."""
        if len(segments) != len(self.segments):
            return None
        params = {}
        for wanted, given in zip(self.segments, segments, strict=True):
            if wanted.startswith("{"):
                params[wanted[1:-1]] = given
            elif wanted != given:
                return None
        return params


@frozen
class StandIn:
    """Stand-in of one downstream service."""

    prefix: str
    """Of its error codes."""
    routes: tuple[SandboxRoute, ...]

    def find(self, method: str, segments: Sequence[str]) -> tuple[SandboxRoute, dict[str, str]]:
        """Return the route of a path, with its parameters.

        Raises:
            SandboxRefusal: there is no such path, or not for this method.
        """
        allowed = []
        for route in self.routes:
            params = route.match(segments)
            if params is None:
                continue
            if route.operation.method == method:
                return route, params
            allowed.append(route.operation.method)
        if allowed:
            raise SandboxRefusal(405, f"{self.prefix}_VAL_002", f"This path takes {', '.join(allowed)}.")
        raise SandboxRefusal(404, f"{self.prefix}_NOTF_000", "There is no such path.")

    def unpack(self, operation: Operation, request: Request, params: dict[str, str]) -> SandboxCall:
        """Check what every operation asks for: a tenant, and a body that is a message (level 2) or a plain object.

        Raises:
            SandboxRefusal: one of them is missing or malformed.
        """
        tenant_id = request.headers.get("x-tenant-id", "")
        if not tenant_id:
            raise SandboxRefusal(400, f"{self.prefix}_VAL_001", "The header X-Tenant-ID is missing.")
        message = json_object(request.body, self.prefix)
        payload = message
        if message and operation.domain:
            payload = message.get("payload")  # type: ignore[assignment]  # checked in the next line
            if not isinstance(payload, dict):
                raise SandboxRefusal(400, f"{self.prefix}_VAL_001", "The message has no payload.")
        if message.get("tenant_id", tenant_id) != tenant_id:
            raise SandboxRefusal(400, f"{self.prefix}_VAL_001", "The body and X-Tenant-ID name different tenants.")
        return SandboxCall(self.prefix, tenant_id, params, request, message, payload)


def json_object(body: bytes, prefix: str) -> dict[str, Any]:
    """Parse a body; an empty one is an empty object.

    Raises:
        SandboxRefusal: the body is something else than a JSON object.
    """
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise SandboxRefusal(400, f"{prefix}_VAL_001", "The body is no JSON object.")
    return value


def payload_reply(payload: Any, status: int = 200) -> SandboxReply:
    """Answer as level 2 does."""
    return json_reply({"payload": payload}, status)
