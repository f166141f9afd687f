"""Errors for the HTTP statuses of services, and for the errors that their answers carry."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from orchestrator.clients.transport.answers import title
from orchestrator.dialects.failures import LONGEST_WAIT_MS, ToldFailure, documented_status, read_failure
from orchestrator.errors import (
    BadGateway,
    NotFound,
    OrchestratorError,
    ReportedFailure,
    ReportedTimeout,
    ServiceBusy,
    ServiceFailed,
    ServiceFault,
    ServiceRefused,
)
from orchestrator.models.common.call import CallContext
from orchestrator.models.common.envelope import FieldFault
from orchestrator.models.downstream.operation import Operation

_LONGEST: Final = 500
"""Characters of a service's own message that are passed on."""
_DIGITS: Final = 9
_INPUT: Final = frozenset({400, 413, 422})
"""Statuses by which a service says that what it was sent is wrong."""
_GENERAL: Final = frozenset({400, 500})
"""Statuses beside which a service's own status of a failure counts."""
_TIMEOUTS: Final = frozenset({408, 504})
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of failures, as services tell them in their answers, of which a later try may succeed."""
Headers = Sequence[tuple[bytes, bytes]]


class InputRefused(ServiceRefused):
    """A service refused what it was sent: the fault of the caller that wrote it."""


class NotSaid(NotFound):
    """A service answered 404 without a code of its own: it may not have the path rather than the thing."""


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
        raise _status_error(operation, status, headers, raw, idempotent=idempotent)


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


def _status_error(
    operation: Operation, status: int, headers: Headers, raw: bytes, *, idempotent: bool
) -> OrchestratorError:
    service, told = operation.service, _told(raw)
    name = title(service)
    header_ms = retry_after_ms(headers)
    wait_ms = told.retry_after_ms if header_ms is None else min(header_ms, LONGEST_WAIT_MS)
    more: dict[str, Any] = {"details": _details(service, told), "service": service}
    if status in _GENERAL and told.status is not None:
        status = told.status
    if status == 404:
        kind = NotFound if told.code else NotSaid
        return kind(f"{name} knows no such thing.", **more)
    if status in _TIMEOUTS and told.documented and told.retryable:
        return ReportedTimeout(f"{name} ran out of time ({status}).", retry_after_ms=wait_ms, **more)
    if status == 429:
        busy = ServiceBusy if told.documented else ServiceFault
        return busy(f"{name} takes no more calls for the moment.", retry_after_ms=wait_ms, **more)
    if status >= 500 and told.retryable is False:
        return ServiceFailed(f"{name} failed with {status}, for good.", **more)
    if status >= 500 and (idempotent or status != 500):
        return BadGateway(f"{name} failed with {status}.", retry_after_ms=wait_ms, **more)
    if status >= 500:
        return ServiceFailed(f"{name} failed with {status}, and the call is not safe to repeat.", **more)
    if status >= 400 and told.retryable:
        passing = ReportedFailure if operation.callee else BadGateway
        return passing(f"{name} could not do it ({status}).", retry_after_ms=wait_ms, **more)
    refused = InputRefused if status in _INPUT else ServiceRefused
    return refused(_sentence(name, status), **more)


def _sentence(name: str, status: int) -> str:
    if status in {401, 403}:
        return f"{name} did not accept the service token (HTTP {status})."
    if status >= 400:
        return f"{name} refused the call with {status}."
    return f"{name} answered {status}, which is no answer to this call."


def told_error(service: str, told: ToldFailure, *, own: bool = False) -> OrchestratorError:
    """Return the error for a failure that is told in an answer of status 200, in a stream, or by a callback.

    Args:
        service: name of the service that answered.
        told: what it has said.
        own: whether an agent or a tool speaks of itself: it is then a `ReportedFailure` that may pass.
    """
    name = title(service)
    more: dict[str, Any] = {"details": _details(service, told), "service": service}
    if told.status == 404:
        return NotFound(f"{name} knows no such thing.", **more)
    if told.retryable is False or (told.retryable is None and told.status not in _PASSING):
        return ServiceRefused(f"{name} could not do it.", **more)
    more["retry_after_ms"] = told.retry_after_ms
    if told.status in _TIMEOUTS:
        return ReportedTimeout(f"{name} ran out of time.", **more)
    passing = ReportedFailure if own else BadGateway
    return passing(f"{name} could not do it.", **more)


def reported_error(service: str, code: str, words: str, *, retryable: bool) -> OrchestratorError:
    """Return the error for a failure of a delegated call, which its service has reported."""
    return told_error(service, ToldFailure(code, words, retryable, status=documented_status(code)))


def _told(raw: bytes) -> ToldFailure:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ToldFailure()
    return read_failure(body) if isinstance(body, dict) else ToldFailure()


def _details(service: str, told: ToldFailure) -> list[FieldFault]:
    return [FieldFault(service, told.sentence[:_LONGEST])] if told.sentence else []
