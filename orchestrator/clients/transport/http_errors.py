"""Errors for the HTTP statuses of services, and for the errors that their answers carry."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from orchestrator.clients.transport.answers import title
from orchestrator.errors import (
    BadGateway,
    NotFound,
    OrchestratorError,
    ReportedFailure,
    ServiceFailed,
    ServiceFault,
    ServiceRefused,
)
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.downstream.operation import Operation

_LONGEST: Final = 500
"""Characters of a service's own message that are passed on."""
_LONGEST_WAIT_MS: Final = 3_600_000
"""Upper bound of a service's `Retry-After`."""
_DIGITS: Final = 9
_INPUT: Final = frozenset({400, 413, 422})
"""Statuses by which a service says that what it was sent is wrong."""
Headers = Sequence[tuple[bytes, bytes]]


class InputRefused(ServiceRefused):
    """A service refused what it was sent: the fault of the caller that wrote it."""


def check_status(call: CallContext, operation: Operation, status: int, headers: Headers, raw: bytes) -> None:
    """Check that an answer is 2xx.

    Args:
        call: the call that was answered.
        operation: its operation.
        status: the HTTP status.
        headers: of the answer.
        raw: its body, or the beginning of it.

    Raises:
        OrchestratorError: stands for any other status.
    """
    if not 200 <= status < 300:
        # A 500 may come after the work was done, so a retry needs an idempotent call.
        idempotent = operation.idempotent or call.idempotency_key is not None
        raise _status_error(operation.service, status, headers, raw, idempotent=idempotent)


def begins_stream(operation: Operation, status: int) -> bool:
    """Tell whether a status begins a stream, or says that the result comes later (202)."""
    return status == 200 or (status == 202 and operation.delegable)


def no_stream(operation: Operation, status: int) -> ServiceRefused:
    """Return the error for another 2xx where a stream was requested."""
    service = operation.service
    return ServiceRefused(f"{title(service)} answered {status} where a stream was asked for.", service=service)


def retry_after_ms(headers: Headers) -> int | None:
    """Read `Retry-After` in seconds; dates, and numbers of more than nine digits, are ignored."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit() and len(value) <= _DIGITS:
            return int(value) * 1000
    return None


def _status_error(service: str, status: int, headers: Headers, raw: bytes, *, idempotent: bool) -> OrchestratorError:
    details = _own_words(service, raw)
    name = title(service)
    wait_ms = retry_after_ms(headers)
    wait_ms = None if wait_ms is None else min(wait_ms, _LONGEST_WAIT_MS)
    if status == 404:
        return NotFound(f"{name} knows no such thing.", details=details, service=service)
    if status == 429:
        return ServiceFault(
            f"{name} takes no more calls for the moment.", details=details, retry_after_ms=wait_ms, service=service
        )
    if status >= 500 and (idempotent or status != 500):
        return BadGateway(f"{name} failed with {status}.", details=details, retry_after_ms=wait_ms, service=service)
    if status >= 500:
        words = f"{name} failed with {status}, and the call is not safe to repeat."
        return ServiceFailed(words, details=details, service=service)
    kind = InputRefused if status in _INPUT else ServiceRefused
    return kind(_sentence(name, status), details=details, service=service)


def _sentence(name: str, status: int) -> str:
    if status in {401, 403}:
        return f"{name} did not accept the service token (HTTP {status})."
    if status >= 400:
        return f"{name} refused the call with {status}."
    return f"{name} answered {status}, which is no answer to this call."


def told_error(service: str, error: dict[str, Any], *, own: bool = False) -> ServiceFault:
    """Return the error for an `error` object in an answer of status 200, or in a stream.

    Args:
        service: name of the service that answered.
        error: the object.
        own: whether an agent or a tool speaks of itself: it is then a `ReportedFailure` that may pass.
    """
    passing = ReportedFailure if own else BadGateway
    kind = passing if error.get("retryable") is True else ServiceRefused
    return kind(f"{title(service)} could not do it.", details=_faults(service, error), service=service)


def _own_words(service: str, raw: bytes) -> list[FieldFault]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(body, dict):
        return []
    error = body.get("error")
    return _faults(service, error if isinstance(error, dict) else body)


def _faults(service: str, error: dict[str, Any]) -> list[FieldFault]:
    code = error.get("code") or error.get("error_code")
    words = error.get("message") or error.get("detail")
    said = [part for part in (code, words) if isinstance(part, str)]
    return [FieldFault(service, ": ".join(said)[:_LONGEST])] if said else []
