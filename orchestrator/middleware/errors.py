"""The boundary where every exception becomes an answer, and nothing of its inside gets out."""

from math import ceil
from typing import Any, Final

import structlog
from quart import Response
from werkzeug.exceptions import HTTPException

from orchestrator.codec import encode, unstructure
from orchestrator.errors import (
    InternalFault,
    InvalidBody,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    OrchestratorError,
    PayloadTooLarge,
    StoreUnavailable,
    TenantDamaged,
    TooManyConnections,
    Unauthorized,
    UnsupportedMediaType,
)
from orchestrator.middleware.exchange import JSON, PROBLEM, Exchange, answer, envelope, respond
from orchestrator.models.common.ids import new_id

LONGEST_PATH: Final = 256
"""Of a path, so many characters stand in the log."""
_ERROR: Final = {"domain": "system", "action": "error"}
_FRAMEWORK: Final[dict[int, tuple[type[OrchestratorError], str]]] = {
    404: (NotFound, "There is no such route."),
    405: (MethodNotAllowed, "The route does not take this method."),
    408: (InvalidBody, "The body did not arrive in time."),
    413: (PayloadTooLarge, "The body is larger than the service takes."),
    415: (UnsupportedMediaType, "The body must be JSON."),
}
"""What the framework raises, by HTTP status."""
_SERVER: Final[dict[int, type[OrchestratorError]]] = {
    404: NotFound,
    405: MethodNotAllowed,
    426: InvalidParameter,
    429: TooManyConnections,
    431: PayloadTooLarge,
}
"""What the server refuses before the application sees it, by HTTP status; all else is malformed."""
_log = structlog.get_logger("orchestrator.middleware.errors")


def error_answer(exchange: Exchange, raised: BaseException) -> Response:
    """Turn an exception into an answer; an unknown one is logged, and told without details."""
    error = told_error(exchange, raised)
    exchange.error_code = error.code
    body = unstructure(error.body(exchange.correlation_id))
    headers = _headers(error, raised)
    if exchange.wants_problem:
        return respond(exchange, encode(_problem(error, body)), error.status, PROBLEM, headers)
    data = None if exchange.tell_failure is None else exchange.tell_failure(exchange, error)
    return answer(exchange, _ERROR, data, status=error.status, error=body, headers=headers)


def told_error(exchange: Exchange, raised: BaseException) -> OrchestratorError:
    """Turn an exception into what the client is told; the log has a line for each, with its trace where it is ours."""
    error = translate(raised)
    if error is None:
        error = InternalFault("The service failed; its log has the reason under this correlation id.")
        log_failure(exchange, error, exc_info=raised)
    elif isinstance(error, StoreUnavailable | TenantDamaged):
        log_failure(exchange, error, reason=error.reason)
    else:
        log_failure(exchange, error)
    return error


def log_failure(exchange: Exchange, error: OrchestratorError, **more: Any) -> None:
    """Write the line of a failed request; it has neither body nor query."""
    write = _log.error if error.status >= 500 else _log.warning
    write(
        "request.failed",
        error_code=error.code,
        http_status=error.status,
        stack_trace="",
        metadata={"request_path": exchange.path[:LONGEST_PATH], "method": exchange.method},
        **{name: value or "" for name, value in exchange.log_fields().items()},
        **more,
    )


def refusal_body(status: int, message: str) -> tuple[bytes, bytes]:
    """Make the body of what the server answers by itself.

    Args:
        status: the HTTP status.
        message: one sentence.

    Returns:
        The media type, and the envelope.
    """
    exchange = Exchange({}, new_id())
    error = _SERVER.get(status, InvalidBody)(message)
    log_failure(exchange, error)
    body = unstructure(error.body(exchange.correlation_id))
    return JSON.encode(), envelope(exchange, _ERROR, None, status=status, error=body)


def translate(raised: BaseException) -> OrchestratorError | None:
    """Return the error that a client is told, or None where `raised` is a fault of this service."""
    if isinstance(raised, OrchestratorError):
        return raised
    if isinstance(raised, BaseExceptionGroup):
        told = [translate(inner) for inner in raised.exceptions]
        return told[0] if all(told) else None
    if isinstance(raised, HTTPException):
        return _framework(raised)
    return None


def _framework(raised: HTTPException) -> OrchestratorError | None:
    if raised.code in _FRAMEWORK:
        kind, message = _FRAMEWORK[raised.code]
        return kind(message)
    if raised.code is not None and 400 <= raised.code < 500:
        return InvalidBody("The request is malformed.")
    return None


def _headers(error: OrchestratorError, raised: BaseException) -> dict[str, str]:
    headers = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(max(ceil(error.retry_after_ms / 1000), 1))
    elif error.status == 503:
        headers["Retry-After"] = "1"
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="orchestrator"'
    methods = getattr(raised, "valid_methods", None)
    if methods:
        headers["Allow"] = ", ".join(sorted(methods))
    return headers


def _problem(error: OrchestratorError, body: dict[str, Any]) -> dict[str, Any]:
    """Write an error by RFC 9457; its own `type` is a URI there, so the class of the error is `error_type`."""
    fields = {name: value for name, value in body.items() if name != "type"}
    return {
        "type": f"/docs#{error.code}",
        "title": error.type.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.message,
        "error_type": error.type,
        **fields,
    }
