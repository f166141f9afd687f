"""What a request's headers say about it: ids, priority, idempotency and trace."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from orchestrator.errors import InvalidParameter
from orchestrator.models.common.envelope import FieldFault, RequestEnvelope
from orchestrator.models.common.ids import ID_PATTERN, IDEMPOTENCY_KEY_PATTERN, is_id, is_idempotency_key
from orchestrator.models.common.principal import Principal, RequestContext, TraceContext
from orchestrator.services.shared.traces import current_trace


@frozen
class Marks:
    """What the headers say, checked."""

    correlation_id: str | None
    message_id: str | None
    idempotency_key: str | None
    priority: int | None
    trace: TraceContext


def header_map(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of an ASGI scope, names in lower case; several lines of one name are one list (RFC 9110)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def read_marks(headers: Mapping[str, str]) -> Marks:
    """Read and check the headers that go into a request's context.

    Args:
        headers: names in lower case.

    Raises:
        InvalidParameter: with every header that is malformed.
    """
    faults: list[FieldFault] = []
    marks = Marks(
        _id(headers, "X-Correlation-ID", faults),
        _id(headers, "X-Message-ID", faults),
        _idempotency_key(headers, faults),
        _priority(headers, faults),
        current_trace() or read_trace(headers) or TraceContext.new(),
    )
    if faults:
        raise InvalidParameter(f"{faults[0].path} {faults[0].message}.", details=faults)
    return marks


def make_context(
    principal: Principal,
    marks: Marks,
    envelope: RequestEnvelope | None,
    *,
    request_id: str,
    correlation_id: str,
    remote_address: str,
) -> RequestContext:
    """Join what is known of a request.

    The envelope's `message_id` serves as idempotency key where the header is missing.
    """
    message_id = marks.message_id or (envelope.message_id if envelope else None)
    return RequestContext(
        principal,
        request_id,
        correlation_id,
        marks.trace,
        message_id,
        marks.idempotency_key or message_id,
        marks.priority,
        remote_address,
    )


def read_trace(headers: Mapping[str, str]) -> TraceContext | None:
    """Return the trace context that came with a request; None where there is none, or no valid one."""
    parent = headers.get("traceparent")
    return TraceContext.read(parent, headers.get("tracestate", "")) if parent else None


def _id(headers: Mapping[str, str], name: str, faults: list[FieldFault]) -> str | None:
    value = headers.get(name.lower())
    if value is None or is_id(value):
        return value
    faults.append(FieldFault(f"$.headers.{name}", f"must match {ID_PATTERN}"))
    return None


def _idempotency_key(headers: Mapping[str, str], faults: list[FieldFault]) -> str | None:
    value = headers.get("idempotency-key")
    if value is None:
        return None
    # An Idempotency-Key is a structured string (RFC 8941), and so may come in quotes.
    bare = value[1:-1] if len(value) > 2 and value[0] == value[-1] == '"' else value
    if is_idempotency_key(bare):
        return bare
    faults.append(FieldFault("$.headers.Idempotency-Key", f"must match {IDEMPOTENCY_KEY_PATTERN}"))
    return None


def _priority(headers: Mapping[str, str], faults: list[FieldFault]) -> int | None:
    value = headers.get("x-request-priority")
    if value is None:
        return None
    if len(value) == 1 and value in "0123456789":
        return int(value)
    faults.append(FieldFault("$.headers.X-Request-Priority", "must be a digit, 0 (highest) to 9"))
    return None
