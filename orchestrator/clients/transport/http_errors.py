"""What an HTTP status of a service means here."""

from typing import Any, Final

import orjson

from orchestrator.clients.transport.answers import title
from orchestrator.errors import BadGateway, NotFound, OrchestratorError, ServiceFailed, ServiceFault, ServiceRefused
from orchestrator.models.common.envelope import FieldFault

_LONGEST: Final = 500
"""Characters of a service's own words that are passed on."""
_LONGEST_WAIT: Final = 3600
"""Seconds of a `Retry-After` that are believed."""


def refusal(
    service: str, status: int, headers: list[tuple[bytes, bytes]], raw: bytes, *, idempotent: bool
) -> OrchestratorError:
    """Return the error that stands for an answer other than 2xx.

    Args:
        service: who answered.
        status: the HTTP status.
        headers: of the answer.
        raw: its body, or the beginning of it.
        idempotent: whether the call may be repeated although the service may have done its work.
    """
    details = _own_words(service, raw)
    name = title(service)
    wait_ms = _retry_after_ms(headers)
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
    return ServiceRefused(_sentence(name, status), details=details, service=service)


def _sentence(name: str, status: int) -> str:
    if status in {401, 403}:
        return f"{name} did not accept the service token (HTTP {status})."
    if status >= 400:
        return f"{name} refused the call with {status}."
    return f"{name} answered {status}, which is no answer to this call."


def told_error(service: str, error: dict[str, Any]) -> ServiceFault:
    """Return the error that stands for an `error` object within an answer of status 200, or within a stream."""
    kind = BadGateway if error.get("retryable") is True else ServiceRefused
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


def _retry_after_ms(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Read `Retry-After` in seconds; its other form, a date, is as good as none."""
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit():
            return min(int(value), _LONGEST_WAIT) * 1000
    return None
